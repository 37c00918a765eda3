/**
 * The engine's own reading of a connection's bytes, without sockets: what it would forward, as text.
 *
 *   bytes ─▶ HeadScanner, parseRequestHead(), BodyReader ─▶ formatRequestHead() ─▶ the upstream's bytes
 *
 * The same parts as proxy/l7/downstream.ts and upstream.ts put together, so that a million of cases take seconds.
 */
import { BodyReader } from "#proxy/l7/http1/body.ts";
import { HTTP1Error } from "#proxy/l7/http1/errors.ts";
import { type RequestHead, parseRequestHead } from "#proxy/l7/http1/request.ts";
import { HeadScanner } from "#proxy/l7/http1/scanner.ts";
import { formatChunkLine, formatRequestHead } from "#proxy/l7/http1/write.ts";

export interface Forwarded {
  readonly head: RequestHead;
  readonly body: string;
  /** What reaches the upstream. */
  readonly text: string;
}

/** The whole requests in `bytes`, up to the first that is refused or cut. */
export function readForwarded(bytes: string): readonly Forwarded[] {
  const chunk = Buffer.from(bytes, "latin1");
  const found: Forwarded[] = [];
  const scanner = new HeadScanner(true);
  let at = 0;
  try {
    while (at < chunk.length) {
      const end = scanner.push(chunk, at);
      if (end < 0) break;
      const head = parseRequestHead(scanner.take(chunk, at, end), { marks: scanner.marks });
      const body = new BodyReader();
      body.start(head.framing);
      const parts: string[] = [];
      at = body.consume(chunk, end, (slice) => parts.push(slice.toString("latin1")));
      if (!body.isDone) break;
      found.push({ head, body: parts.join(""), text: textOf(head, parts) });
      if (head.hop.wantsClose || head.protocol === "HTTP/1.0") break;
    }
  } catch (error) {
    if (!(error instanceof HTTP1Error)) throw error;
  }
  return found;
}

function textOf(head: RequestHead, parts: readonly string[]): string {
  const text = formatRequestHead({ head, added: undefined, addedLines: "", authority: "a" });
  if (head.framing.kind !== "chunked") return text + parts.join("");
  return `${text}${parts.map((part) => `${formatChunkLine(part.length)}${part}\r\n`).join("")}0\r\n\r\n`;
}
