/**
 * An upstream that answers with what it saw, so that both sides of a proxy can be looked at in one answer.
 *
 * `x-answer-status` picks the status; `x-answer-delay` waits so many ms; `x-answer-header: name=value` adds headers.
 * `x-answer-try-N: STATUS DELAY` says both for the try that counts itself N.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { realClock } from "#lib/clock.ts";

export interface Seen {
  readonly name: string;
  readonly line: string;
  readonly headers: readonly string[];
  readonly body: string;
}

export async function startUpstream(name: string): Promise<{ server: Server; port: number }> {
  const copies: string[] = [];
  const server = createServer((request, response) => void answer({ name, copies }, request, response));
  server.on("connect", (request: IncomingMessage, socket: Duplex) => {
    const status = Number(request.headers["x-answer-status"] ?? 200);
    const body = JSON.stringify({ name, line: `CONNECT ${request.url ?? ""}`, headers: headersOf(request), body: "" });
    // Of a tunnel these are its bytes.
    const length = status < 300 ? "" : `Content-Length: ${body.length}\r\n`;
    socket.on("error", () => socket.destroy());
    socket.end(`HTTP/1.1 ${status} Said\r\n${length}\r\n${body}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

function headersOf({ rawHeaders }: IncomingMessage): readonly string[] {
  const headers: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2)
    headers.push(`${rawHeaders[at]!.toLowerCase()}: ${rawHeaders[at + 1]!}`);
  return headers.sort();
}

interface Upstream {
  readonly name: string;
  /** What came with x-copy and was not yet asked for with x-answer-copies. */
  readonly copies: string[];
}

async function answer({ name, copies }: Upstream, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const seen: Seen = {
    name,
    line: `${request.method ?? ""} ${request.url ?? ""}`,
    headers: headersOf(request),
    body: Buffer.concat(chunks).toString("latin1"),
  };
  const [tryStatus, tryDelay] = String(
    request.headers[`x-answer-try-${String(request.headers["x-envoy-attempt-count"] ?? 0)}`] ?? "",
  ).split(" ");
  const delayMs = Number(tryDelay ?? request.headers["x-answer-delay"] ?? 0);
  if (delayMs > 0) await realClock.sleep(delayMs);
  const { host = "", "x-copy": copy } = request.headers;
  if (copy !== undefined) copies.push(`${seen.line} of ${host} ${seen.body}`.trim());
  const told =
    request.headers["x-answer-copies"] === undefined ? seen : { ...seen, body: copies.splice(0).sort().join("; ") };
  response.sendDate = false;
  for (const added of request.headersDistinct["x-answer-header"] ?? [])
    response.appendHeader(added.slice(0, added.indexOf("=")), added.slice(added.indexOf("=") + 1));
  response.statusCode = Number(tryStatus || (request.headers["x-answer-status"] ?? 200));
  response.end(JSON.stringify(told));
}
