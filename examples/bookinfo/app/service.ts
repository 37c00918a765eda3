/**
 * What the four Bookinfo services share: an HTTP server of JSON and HTML answers, each sent in one write, and calls to
 * other services that pass the trace on.
 *
 * Every service listens on port 9080, answers /health, and ends cleanly on SIGTERM.
 */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, createServer, get } from "node:http";

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Answers one request; undefined is 404. */
export type Route = (request: IncomingMessage, path: string) => Promise<Answer | undefined> | Answer | undefined;

/** Headers that belong to the whole request tree, as Istio's Bookinfo passes them. */
const propagated = [
  "x-request-id",
  "traceparent",
  "tracestate",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
  "b3",
  "end-user",
  "user-agent",
];

const agent = new Agent({ keepAlive: true, maxSockets: 64 });
/** Time for a whole call to another service, in ms. */
const callTimeoutMs = 10_000;

export function json(value: unknown, status = 200): Answer {
  return { status, contentType: "application/json", body: JSON.stringify(value) };
}

/** Serves `route` on port 9080 until SIGTERM, then lets requests finish. */
export function serve(route: Route): void {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? "/", "http://service").pathname;
    let answer: Answer | undefined;
    try {
      answer = path === "/health" ? json({ status: "healthy" }) : await route(request, path);
    } catch (error) {
      answer = json({ error: error instanceof Error ? error.message : String(error) }, 500);
    }
    const { status, contentType, body } = answer ?? json({ error: `No such page: ${path}` }, 404);
    response.writeHead(status, { "content-type": contentType, "content-length": Buffer.byteLength(body) });
    response.end(body);
  });
  server.listen(Number(process.env["PORT"] ?? 9080));
  process.on("SIGTERM", () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}

/** The JSON answer of another service; throws on anything but 200. */
export function call(url: string, incoming: IncomingHttpHeaders): Promise<unknown> {
  const headers: Record<string, string> = {};
  for (const name of propagated) {
    const value = incoming[name];
    if (typeof value === "string") headers[name] = value;
  }
  return new Promise((resolve, reject) => {
    const request = get(url, { agent, headers, timeout: callTimeoutMs }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString();
        if (response.statusCode !== 200)
          return reject(new Error(`${url} answered ${response.statusCode}: ${body.slice(0, 200)}`));
        resolve(JSON.parse(body));
      });
    });
    request.on("timeout", () => request.destroy(new Error(`${url} did not answer within ${callTimeoutMs} ms`)));
    request.on("error", reject);
  });
}

/** `http://NAME:9080`, where the environment may name another host, as in Bookinfo. */
export function serviceUrl(name: string): string {
  const upper = name.toUpperCase();
  return `http://${process.env[`${upper}_HOSTNAME`] ?? name}:${process.env[`${upper}_SERVICE_PORT_HTTP`] ?? 9080}`;
}
