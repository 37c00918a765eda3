/**
 * One call of grpc.health.v1.Health/Check over a connection that is already made: HTTP/2 in plaintext.
 *
 * Written on node:http2, for a gRPC library dials by itself, and could not do so from inside the pod's network.
 * Source: grpc/doc/health-checking.md, PROTOCOL-HTTP2.md.
 */
import type { IncomingHttpHeaders } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { Clock } from "#lib/clock.ts";
import { type Target, dial, dialFailure } from "./dial.ts";

export interface HealthAnswer {
  readonly ok: boolean;
  readonly detail: string;
}

const statuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const serving = 1;
const unimplemented = "12";
/** An answer is a few bytes; more is not one. */
const answerBytesMax = 4096;

export function checkHealth(
  { port, service = "" }: { readonly port: number; readonly service?: string },
  target: Target,
  { timeoutMs, clock }: { timeoutMs: number; clock: Clock },
): Promise<HealthAnswer> {
  const socket = dial(target.podIP, port, target.netnsPath);
  const address = `${target.podIP}:${port}`;
  return new Promise((resolve) => {
    let connected = false;
    const done = (answer: HealthAnswer): void => {
      timer.cancel();
      session.destroy();
      socket.destroy();
      resolve(answer);
    };
    const fail = (detail: string): void => done({ ok: false, detail });
    const timer = clock.after(timeoutMs, () => {
      const seconds = `${timeoutMs / 1000}s`;
      if (connected) return fail(`timeout: health rpc did not complete within ${seconds}`);
      fail(`timeout: failed to connect service "${address}" within ${seconds}: context deadline exceeded`);
    });
    const refused = (error: Error): void =>
      fail(`error: failed to connect service at "${address}": ${dialFailure(error, target.podIP, port)}`);
    const session: ClientHttp2Session = connect(`http://${address}`, { createConnection: () => socket });
    socket.once("connect", () => (connected = true));
    socket.on("error", refused);
    session.on("error", refused);
    call(session, service, done);
  });
}

function call(session: ClientHttp2Session, service: string, done: (answer: HealthAnswer) => void): void {
  const { HTTP2_HEADER_PATH, HTTP2_HEADER_METHOD, HTTP2_HEADER_TE, HTTP2_HEADER_CONTENT_TYPE } = constants;
  const stream: ClientHttp2Stream = session.request({
    [HTTP2_HEADER_METHOD]: "POST",
    [HTTP2_HEADER_PATH]: "/grpc.health.v1.Health/Check",
    [HTTP2_HEADER_TE]: "trailers",
    [HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
    "user-agent": "kube-probe/1.35",
  });
  let code: string | undefined;
  let message = "";
  let body = Buffer.alloc(0);
  const take = (headers: IncomingHttpHeaders): void => {
    const { "grpc-status": status, "grpc-message": text } = headers;
    if (typeof status === "string") code = status;
    if (typeof text === "string") message = decodeMessage(text);
  };
  stream.on("response", take);
  stream.on("trailers", take);
  stream.on("data", (chunk: Buffer) => (body = Buffer.concat([body, chunk]).subarray(0, answerBytesMax)));
  // The session's error tells it.
  stream.on("error", (error: Error) => done({ ok: false, detail: `error: health rpc probe failed: ${error.message}` }));
  stream.on("end", () => done(judge(code, message, body)));
  stream.end(encodeRequest(service));
}

/** What the end of the call means. Pure. */
export function judge(code: string | undefined, message: string, body: Buffer): HealthAnswer {
  if (code === unimplemented) {
    const what = "this server does not implement the grpc health protocol (grpc.health.v1.Health)";
    return { ok: false, detail: `error: ${what}: ${message}` };
  }
  if (code !== "0") return { ok: false, detail: `error: health rpc probe failed: code ${code ?? "none"}: ${message}` };
  const status = decodeStatus(body);
  if (status === serving) return { ok: true, detail: "service healthy" };
  return { ok: false, detail: `service unhealthy (responded with "${statuses[status] ?? String(status)}")` };
}

/** A gRPC message: no compression, length, HealthCheckRequest { service = 1 }. */
export function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const length = name.length < 128 ? [name.length] : [(name.length & 0x7f) | 0x80, name.length >> 7];
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The status of HealthCheckResponse { status = 1 }; absent is zero. */
function decodeStatus(body: Buffer): number {
  return body.length >= 7 && body[5] === 0x08 ? (body[6] ?? 0) : 0;
}

/** grpc-message is percent-encoded; one that is not is taken as it is. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
