/**
 * Answers that the proxy makes itself, as the listener wants them: other statuses, bodies, headers. Pure.
 *
 *   exchange.ts, filters/run.ts (LocalReply) ─▶ mapReply() ─▶ reply.ts
 *
 * The first mapper whose filter matches is the one; a body is formatted by its mapper, else by the listener. Where a
 * listener says nothing an answer comes out as the very same object.
 * Source: Envoy's LocalReplyConfig.
 */
import { copyRecord } from "./accesslog/record.ts";
import { type LogFilter, type LogFormat, formatLine } from "./accesslog/log.ts";
import type { FormatRecord } from "./accesslog/types.ts";
import { plainHop } from "./http1/framing.ts";
import type { LocalReply } from "./reply.ts";
import { HeadersEditor } from "./route/head-editor.ts";
import { mutate } from "./route/mutate.ts";
import type { HeaderAdd } from "./route/types.ts";

export interface ReplyFormat {
  readonly body: LogFormat;
  readonly contentType: string;
}

export interface ReplyMapper {
  readonly filter: LogFilter;
  /** Undefined: as it is. */
  readonly status: number | undefined;
  readonly body: string | undefined;
  readonly headers: readonly HeaderAdd[];
  readonly format: ReplyFormat | undefined;
}

export interface LocalReplies {
  readonly mappers: readonly ReplyMapper[];
  /** Of answers whose mapper has none. */
  readonly format: ReplyFormat | undefined;
}

export interface ReplyContext {
  readonly localReplies: LocalReplies | undefined;
  /** A number in [0, 1). */
  readonly random: () => number;
}

/** The answer as it goes out; `record` is of its request. */
export function mapReply(reply: LocalReply, record: FormatRecord, { localReplies, random }: ReplyContext): LocalReply {
  if (localReplies === undefined) return reply;
  const { mappers, format } = localReplies;
  const headers = new HeadersEditor(headersOf(reply));
  const known = { ...copyRecord(record), status: reply.status, flag: reply.flag };
  const recordNow = (status: number): FormatRecord => ({
    ...known,
    status,
    response: { status, protocol: "HTTP/1.1", reason: "", hop: plainHop, headers: headers.headers },
  });
  const mapper = mappers.find(({ filter }) => filter(recordNow(reply.status), random));
  const status = mapper?.status ?? reply.status;
  const plainBody = mapper?.body ?? reply.body ?? `${reply.sentence}\n`;
  if (mapper !== undefined) mutate(headers, [{ adds: mapper.headers, removes: [] }], () => recordNow(reply.status));
  const used = mapper?.format ?? format;
  const body =
    used === undefined ? plainBody : formatLine(used.body, { ...recordNow(status), localReplyBody: plainBody });
  if (body !== "" && !headers.has("content-type")) headers.set("Content-Type", used?.contentType ?? "text/plain");
  const { names, values } = headers.headers;
  const isOwn = used !== undefined || mapper?.body !== undefined;
  return {
    ...reply,
    status,
    body,
    ...(isOwn ? { grpcMessage: body } : {}),
    headers: names.map((name, at) => [name, values[at]!] as const),
  };
}

/** Without the type that a body has where nobody says another. */
function headersOf({ headers = [] }: LocalReply): HeadersEditor["headers"] {
  const own = headers.filter(([name, value]) => name.toLowerCase() !== "content-type" || value !== "text/plain");
  const names = own.map(([name]) => name);
  return { names, keys: names.map((name) => name.toLowerCase()), values: own.map(([, value]) => value) };
}
