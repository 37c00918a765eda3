/**
 * access_log → AccessLogSpec[]. Pure.
 *
 * Source: envoy.config.accesslog.v3, envoy.extensions.access_loggers.{file,stream}.v3,
 * envoy.config.core.v3.SubstitutionFormatString.
 */
import { readHeaderMatcher, readPercent } from "../config/match.ts";
import type { Reader } from "../config/reader.ts";
import { isHit, plainInfo } from "../route/match.ts";
import { flagNames } from "./flags.ts";
import type { AccessLogSpec, JSONTree, LogFilter, LogFormat, LogTarget } from "./log.ts";
import { compileTemplate } from "./template.ts";
import type { FormatRecord } from "./types.ts";

const prefix = "type.googleapis.com/envoy.extensions.access_loggers.";
const fileType = `${prefix}file.v3.FileAccessLog`;
const stdoutType = `${prefix}stream.v3.StdoutAccessLog`;
const stderrType = `${prefix}stream.v3.StderrAccessLog`;

/** Envoy's format where none is given. */
export const defaultFormat: string =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% " +
  '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

export function compileAccessLogs(reader: Reader, name: string): readonly AccessLogSpec[] {
  return reader.list(name).map((entry) => {
    const config = entry.ignore("name").wantObject("typed_config");
    const filter = entry.object("filter");
    entry.done();
    return { ...readLogger(config), filter: filter && readLogFilter(filter) };
  });
}

function readLogger(config: Reader): Omit<AccessLogSpec, "filter"> {
  const type = config.oneOf("@type", [fileType, stdoutType, stderrType]);
  const target: LogTarget =
    type === fileType
      ? { kind: "file", path: config.wantText("path"), field: config.at("path") }
      : { kind: type === stderrType ? "stderr" : "stdout" };
  const format = readFormat(config);
  config.done();
  return { target, format };
}

function readFormat(config: Reader): LogFormat {
  const nested = config.object("log_format");
  if (nested !== undefined) return readSubstitution(nested);
  const text = config.text("format");
  if (text !== undefined && text !== "") return textFormat(text, config, "format");
  for (const field of ["json_format", "typed_json_format"]) {
    if (config.object(field) !== undefined)
      return { kind: "json", tree: toTree(config.raw(field), [config, field]), omitsEmpty: false };
  }
  return textFormat(defaultFormat, config, "format");
}

/** A SubstitutionFormatString, of access logs and local replies alike. */
export function readSubstitution(reader: Reader): LogFormat {
  const omitsEmpty = reader.flag("omit_empty_values") ?? false;
  const json = reader.object("json_format");
  const source = reader.object("text_format_source");
  const inline = source?.wantText("inline_string");
  source?.done();
  const text = reader.text("text_format") ?? inline;
  if (reader.has("formatters")) throw reader.unsupported("formatters", "the field is not supported");
  const options = reader.object("json_format_options");
  options?.allow("sort_properties", [true], "fields are always sorted").done();
  // Local replies look at it themselves; a log has no content type.
  reader.ignore("content_type").done();
  if (json !== undefined)
    return { kind: "json", tree: toTree(reader.raw("json_format"), [reader, "json_format"]), omitsEmpty };
  if (text === undefined) throw reader.bad("text_format", "no format, wanted text_format or json_format");
  if (text !== inline || source === undefined) return textFormat(text, reader, "text_format");
  return textFormat(text, source, "inline_string");
}

function textFormat(text: string, reader: Reader, name: string): LogFormat {
  return { kind: "text", template: compileTemplate(text, (why) => reader.bad(name, why)) };
}

/** `at`: the message, and the path of the value in it. */
function toTree(value: unknown, at: readonly [reader: Reader, name: string]): JSONTree {
  const [reader, path] = at;
  if (typeof value === "string")
    return { kind: "value", template: compileTemplate(value, (why) => reader.bad(path, why)) };
  if (typeof value === "number" || typeof value === "boolean" || value === null) return { kind: "literal", value };
  if (Array.isArray(value))
    return { kind: "list", items: value.map((item: unknown, index) => toTree(item, [reader, `${path}[${index}]`])) };
  if (typeof value !== "object") throw reader.bad(path, "it has a value that JSON does not have");
  // Envoy sorts the fields of a Struct, so that lines compare.
  const fields = Object.entries(value ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    kind: "object",
    fields: fields.map(([name, item]) => [name, toTree(item, [reader, `${path}["${name}"]`])] as const),
  };
}

/** An AccessLogFilter. */
export function readLogFilter(reader: Reader): LogFilter {
  const fields = Object.keys(filterReaders).filter((name) => reader.isSet(name));
  const [field, second] = fields;
  if (field === undefined || second !== undefined)
    throw reader.unsupported("", `wanted one of ${Object.keys(filterReaders).join(", ")}`);
  const filter = filterReaders[field]!(reader.wantObject(field));
  reader.done();
  return filter;
}

const filterReaders: Readonly<Record<string, (reader: Reader) => LogFilter>> = {
  status_code_filter: (reader) => readComparison(reader, ({ status }) => status),
  duration_filter: (reader) => readComparison(reader, ({ durationMs }) => durationMs),
  runtime_filter: (reader) => {
    // Without a runtime the share is the one that stands here; keys override nothing.
    const value = reader.object("percent_sampled");
    const share = value === undefined ? { numerator: 0, denominator: 100 } : readPercent(value);
    reader.ignore("runtime_key", "use_independent_randomness").done();
    return (_record, random) => isHit(share, random());
  },
  and_filter: (reader) => {
    const filters = readFilters(reader);
    return (record, random) => filters.every((filter) => filter(record, random));
  },
  or_filter: (reader) => {
    const filters = readFilters(reader);
    return (record, random) => filters.some((filter) => filter(record, random));
  },
  header_filter: (reader) => {
    const matches = readHeaderMatcher(reader.wantObject("header"));
    reader.done();
    return ({ head, sentHead }) => {
      const from = sentHead ?? head;
      return from !== undefined && matches(from, plainInfo);
    };
  },
  response_flag_filter: (reader) => {
    const flags = reader.texts("flags");
    for (const flag of flags) if (!flagNames.has(flag)) throw reader.bad("flags", `${JSON.stringify(flag)} is no flag`);
    reader.done();
    return ({ flag }) => (flags.length === 0 ? flag !== "-" : flags.includes(flag));
  },
};

function readFilters(reader: Reader): readonly LogFilter[] {
  const filters = reader.list("filters").map(readLogFilter);
  if (filters.length < 2) throw reader.bad("filters", "it has fewer than two entries");
  reader.done();
  return filters;
}

const comparisons: Readonly<Record<string, (value: number, wanted: number) => boolean>> = {
  EQ: (value, wanted) => value === wanted,
  GE: (value, wanted) => value >= wanted,
  LE: (value, wanted) => value <= wanted,
  NE: (value, wanted) => value !== wanted,
};

function readComparison(reader: Reader, valueOf: (record: FormatRecord) => number): LogFilter {
  const comparison = reader.wantObject("comparison");
  const compare = comparisons[comparison.oneOf("op", Object.keys(comparisons)) ?? "EQ"]!;
  const value = comparison.wantObject("value");
  const wanted = value.integer("default_value", 0) ?? 0;
  // Without a runtime the default counts.
  value.ignore("runtime_key").done();
  comparison.done();
  reader.done();
  return (record) => compare(valueOf(record), wanted);
}
