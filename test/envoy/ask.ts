/**
 * Sends one case's request over a connection of its own, and reads the answer in the form that is compared.
 *
 * What two proxies may say differently is left out here, and nowhere else: names that stand for the proxy itself
 * (server, x-envoy-…), times, identifiers, and the text of answers that the proxy made because something failed.
 */
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import type { Seen } from "./upstream.ts";
import type { Answer, CaseRequest } from "./types.ts";

/** Headers of responses that are not compared; the README says why for each. */
const ignoredInResponses: ReadonlySet<string> = new Set([
  "date",
  "server",
  "x-wherry-error",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
]);

/** Headers that upstreams see and that are not compared. */
const ignoredInRequests: ReadonlySet<string> = new Set([
  "x-request-id",
  "x-envoy-expected-rq-timeout-ms",
  "connection",
  "x-envoy-internal",
]);

/** Envoy writes an address of the machine for downstreams on loopback; Wherry writes what it sees. */
const own: readonly string[] = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .map(({ address }) => address);

const toLoopback = (line: string, address: string): string => line.replaceAll(address, "127.0.0.1");

export async function ask(port: number, request: CaseRequest): Promise<Omit<Answer, "log">> {
  const text = await exchange(port, format(request));
  const split = text.indexOf("\r\n\r\n");
  const [start = "", ...lines] = text.slice(0, split).split("\r\n");
  const status = Number(start.split(" ", 2)[1] ?? 0);
  const headers = lines
    .map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase()))
    .map((line) => line.replace(/^(x-envoy-upstream-service-time:) \d+$/, "$1 N"))
    .filter((line) => !ignoredInResponses.has(line.slice(0, line.indexOf(":"))))
    .sort();
  const isChunked = lines.some((line) => /^transfer-encoding: chunked$/i.test(line));
  const raw = text.slice(split + 4);
  const coding = headers.find((line) => line.startsWith("content-encoding: "))?.slice(18);
  return compose(status, headers, decoded(isChunked ? unchunk(raw) : raw, coding));
}

function compose(status: number, headers: readonly string[], body: string): Omit<Answer, "log"> {
  if (!body.startsWith('{"name":')) return { status, headers, body };
  const seen = JSON.parse(body) as Seen;
  const kept = seen.headers
    .filter((line) => !ignoredInRequests.has(line.slice(0, line.indexOf(":"))))
    .map((line) => (line.startsWith("x-forwarded-for:") ? own.reduce(toLoopback, line) : line));
  return { status, headers, body: "", upstream: { ...seen, headers: kept } };
}

function format(request: CaseRequest): string {
  const { method = "GET", path, host = "example.org", headers = [], chunks } = request;
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, "Connection: close"];
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  const body = chunks === undefined ? (request.body ?? "") : chunked(chunks);
  if (chunks !== undefined) lines.push("Transfer-Encoding: chunked");
  else if (body !== "") lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return `${lines.join("\r\n")}\r\n\r\n${body}${request.tunnel ?? ""}`;
}

function chunked(chunks: readonly string[]): string {
  return `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n\r\n`;
}

async function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: "127.0.0.1", port });
    socket.setTimeout(10_000, () => socket.destroy(new Error(`No answer within 10 s to ${JSON.stringify(text)}`)));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.write(text, "latin1");
  });
}

const codings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gunzipSync(bytes),
  br: (bytes) => brotliDecompressSync(bytes),
  zstd: (bytes) => zstdDecompressSync(bytes),
};

/** An upstream may say that its answer is encoded when it is not: then it stays as it is. */
function decoded(text: string, coding = ""): string {
  if (text === "" || text.startsWith("{")) return text;
  return codings[coding]?.(Buffer.from(text, "latin1")).toString("latin1") ?? text;
}

function unchunk(text: string): string {
  let body = "";
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (lineEnd < 0 || !(size > 0)) return body;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}
