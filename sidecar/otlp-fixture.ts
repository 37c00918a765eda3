/**
 * An OTLP/HTTP receiver for tests: takes spans as JSON and keeps them in a form that is easy to compare.
 */
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** OTLP's: 2 is a server's, 3 a client's. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** 2 is an error. */
  readonly status: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

interface KeyValue {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface OTLPSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status?: { readonly code?: number };
  readonly attributes: readonly KeyValue[];
}

interface OTLPBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly OTLPSpan[] }[];
  }[];
}

export interface Receiver extends AsyncDisposable {
  readonly endpoint: string;
  readonly port: number;
  readonly spans: ReceivedSpan[];
  /** What each request is answered with. */
  status: number;
  readonly requests: { readonly path: string; readonly contentType: string }[];
  /** Resolves when there are at least that many spans that fit. */
  until(count: number, fits?: (span: ReceivedSpan) => boolean): Promise<readonly ReceivedSpan[]>;
}

/** Listens on a free port of the loopback. */
export async function startReceiver(): Promise<Receiver> {
  const state = { status: 200, spans: [] as ReceivedSpan[], requests: [] as { path: string; contentType: string }[] };
  let wake: () => void = () => undefined;
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      state.requests.push({ path: request.url ?? "", contentType: request.headers["content-type"] ?? "" });
      if (state.status === 200) state.spans.push(...parse(Buffer.concat(chunks).toString()));
      response.writeHead(state.status, { "content-type": "application/json" }).end("{}");
      wake();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    port,
    endpoint: `http://127.0.0.1:${port}`,
    async until(count: number, fits: (span: ReceivedSpan) => boolean = () => true) {
      for (;;) {
        const found = state.spans.filter(fits);
        if (found.length >= count) return found;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function parse(body: string): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(body) as OTLPBody;
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? "",
        name: span.name,
        kind: span.kind,
        startNs: BigInt(span.startTimeUnixNano),
        endNs: BigInt(span.endTimeUnixNano),
        status: span.status?.code ?? 0,
        attributes: toRecord(span.attributes),
        resource: toRecord(resource.attributes),
      })),
    ),
  );
}

function toRecord(pairs: readonly KeyValue[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, Object.values(value)[0]]));
}
