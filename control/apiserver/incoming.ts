/**
 * HTTP requests as they come in: read into an Exchange, and, where one was refused, to the end of its body.
 *
 *   IncomingMessage ─▶ toExchange() ─▶ Exchange        refused with its body unread ─▶ discard()
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type DetailedPeerCertificate, TLSSocket } from "node:tls";
import { StatusError } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { parseBody, readBytes } from "./body.ts";
import type { Credentials, Exchange } from "./exchange.ts";

const urlLengthMax = 16 * 1024;

/** The request as the chain sees it. Throws BadRequest. */
export function toExchange(request: IncomingMessage, response: ServerResponse, warnings: string[]): Exchange {
  const { url = "/", method = "GET", headers } = request;
  if (url.length > urlLengthMax) throw new StatusError("BadRequest", `The URL is too long: limit is ${urlLengthMax}`);
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const contentType = headers["content-type"] ?? "";
  return {
    method,
    segments: decodeSegments(path),
    query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)),
    accept: headers.accept ?? "",
    contentType,
    credentials: credentialsOf(request),
    user: undefined,
    readBody: async () => {
      const bytes = await readBytes(request, Number(headers["content-length"] ?? 0));
      return parseBody(bytes, contentType, method);
    },
    warnings,
    signal: gone.signal,
  };
}

function decodeSegments(path: string): string[] {
  try {
    return path.replace(/\/+$/, "").split("/").slice(1).map(decodeURIComponent);
  } catch {
    throw new StatusError("BadRequest", `Cannot read the path ${path.slice(0, 200)}: it is not percent-encoded UTF-8`);
  }
}

/** The headers by which a client wants to be taken for another. Those that are not honoured are refused, not ignored. */
function impersonationOf({ headersDistinct: headers }: IncomingMessage): Credentials["impersonation"] {
  const [user] = headers["impersonate-user"] ?? [];
  const groups = headers["impersonate-group"] ?? [];
  const others = Object.keys(headers).filter(
    (name) => name === "impersonate-uid" || name.startsWith("impersonate-extra-"),
  );
  if (others.length > 0)
    throw new StatusError(
      "BadRequest",
      `Cannot impersonate: got ${others[0]}, wanted only Impersonate-User and Impersonate-Group`,
    );
  return user === undefined && groups.length === 0 ? undefined : { user: user ?? "", groups };
}

function credentialsOf(request: IncomingMessage): Credentials {
  const { authorization } = request.headers;
  const { socket } = request;
  const impersonation = impersonationOf(request);
  // A certificate that the authority did not sign says nothing.
  if (!(socket instanceof TLSSocket) || !socket.authorized)
    return { certificate: undefined, authorization, impersonation };
  const { subject } = socket.getPeerCertificate() as Partial<DetailedPeerCertificate>;
  const list = (value: string | readonly string[] | undefined): readonly string[] =>
    value === undefined ? [] : typeof value === "string" ? [value] : value;
  const certificate = { commonName: list(subject?.CN)[0] ?? "", organizations: list(subject?.O) };
  return { certificate, authorization, impersonation };
}

/** Most bytes, and longest time in ms, that a client may go on sending after its request was refused. */
const discardBytesMax = 16 * 1024 * 1024;
const discardMs = 1000;

/**
 * Reads the rest of a body and drops it. Whether it came to its end. Many clients read no answer before they have sent
 * everything, and a socket that is closed with bytes unread loses the answer, too.
 */
export function discard(request: IncomingMessage, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    let size = 0;
    const finish = (isWhole: boolean): void => {
      timer.cancel();
      request.off("data", onData).off("end", onEnd).off("close", onClose);
      resolve(isWhole);
    };
    const timer = clock.after(discardMs, () => finish(false));
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > discardBytesMax) finish(false);
    };
    const onEnd = (): void => finish(true);
    const onClose = (): void => finish(request.complete);
    request.on("data", onData).on("end", onEnd).on("close", onClose);
    if (request.destroyed) onClose();
    else request.resume();
  });
}

/** Whether the head announces a body. RFC 9112 section 6.3. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}
