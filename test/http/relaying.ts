/**
 * The engine's own reading of what an upstream says, without sockets: what it would relay, as text.
 *
 *   bytes ─▶ HeadScanner, parseResponseHead(), BodyReader ─▶ formatResponseHead() ─▶ the downstream's bytes
 *
 * The same parts as proxy/l7/upstream.ts and response-writer.ts put together, so that a million of cases take seconds.
 */
import { BodyReader } from "#proxy/l7/http1/body.ts";
import { HTTP1Error } from "#proxy/l7/http1/errors.ts";
import { type Framing, chunkedBody, responseFraming } from "#proxy/l7/http1/framing.ts";
import { type ResponseHead, parseResponseHead } from "#proxy/l7/http1/response.ts";
import { HeadScanner } from "#proxy/l7/http1/scanner.ts";
import { formatChunkLine, formatResponseHead } from "#proxy/l7/http1/write.ts";

export interface ReadResponse {
  readonly head: ResponseHead;
  readonly framing: Framing;
  readonly body: string;
}

/** The whole responses in `bytes`, interim ones too; throws HTTP1Error at what is none; a cut rest is left out. */
export function* readResponses(bytes: string, method: string): Generator<ReadResponse> {
  const chunk = Buffer.from(bytes, "latin1");
  const scanner = new HeadScanner(false);
  for (let at = 0; at < chunk.length;) {
    const end = scanner.push(chunk, at);
    if (end < 0) return;
    const head = parseResponseHead(scanner.take(chunk, at, end), { marks: scanner.marks });
    const framing = responseFraming(head.hop, head.status, method);
    const body = new BodyReader();
    body.start(framing);
    const parts: string[] = [];
    at = body.consume(chunk, end, (slice) => parts.push(slice.toString("latin1")));
    if (!body.finishAtClose()) return;
    yield { head, framing, body: parts.join("") };
  }
}

export interface Relayed extends ReadResponse {
  /** What reaches the downstream. */
  readonly text: string;
}

/** The response that is relayed to a downstream of HTTP/1.1; undefined when it is refused, cut, or a change of protocol. */
export function relay(bytes: string, method: string): Relayed | undefined {
  try {
    for (const found of readResponses(bytes, method)) {
      if (found.head.status === 101) return undefined;
      if (found.head.status >= 200) return { ...found, text: textOf(found) };
    }
  } catch (error) {
    if (!(error instanceof HTTP1Error)) throw error;
  }
  return undefined;
}

function textOf({ head, framing, body }: ReadResponse): string {
  const isBodiless = framing.kind === "none";
  const down = framing.kind === "untilClose" ? chunkedBody : framing;
  const text = formatResponseHead(head, { framing: down, isBodiless, keepsAlive: true, wallMs: () => 0 });
  if (down.kind !== "chunked") return text + body;
  return `${text}${body === "" ? "" : `${formatChunkLine(body.length)}${body}\r\n`}0\r\n\r\n`;
}
