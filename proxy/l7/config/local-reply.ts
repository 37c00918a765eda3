/**
 * local_reply_config → LocalReplies. Pure.
 *
 *   Reader of a HttpConnectionManager ─▶ readLocalReplies() ─▶ local-reply.ts
 *
 * Source: envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig.
 */
import { readLogFilter, readSubstitution } from "../accesslog/config.ts";
import type { LocalReplies, ReplyFormat, ReplyMapper } from "../local-reply.ts";
import { readDataSource } from "./data-source.ts";
import { readHeaderAdds } from "./headers.ts";
import type { Reader } from "./reader.ts";

/** Undefined where there is none: answers are left as they are. */
export function readLocalReplies(manager: Reader): LocalReplies | undefined {
  const config = manager.object("local_reply_config");
  if (config === undefined) return undefined;
  const mappers = config.list("mappers").map(readMapper);
  const format = readReplyFormat(config, "body_format");
  config.done();
  return { mappers, format };
}

function readMapper(reader: Reader): ReplyMapper {
  const mapper: ReplyMapper = {
    filter: readLogFilter(reader.wantObject("filter")),
    status: reader.integer("status_code", 200),
    body: reader.has("body") ? readDataSource(reader, "body") : undefined,
    headers: readHeaderAdds(reader, "headers_to_add"),
    format: readReplyFormat(reader, "body_format_override"),
  };
  if ((mapper.status ?? 200) > 599) throw reader.bad("status_code", "it is more than 599");
  reader.done();
  return mapper;
}

function readReplyFormat(reader: Reader, name: string): ReplyFormat | undefined {
  const format = reader.object(name);
  if (format === undefined) return undefined;
  const contentType = format.text("content_type");
  const body = readSubstitution(format);
  return { body, contentType: contentType || (body.kind === "json" ? "application/json" : "text/plain") };
}
