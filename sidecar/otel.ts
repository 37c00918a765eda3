/**
 * Spans to an OTLP/HTTP receiver, by OpenTelemetry's SDK.
 *
 *   tracing.ts ─▶ add() ─▶ SDK span with our ids and times ─▶ batches of 512, every 2 s ─▶ POST <endpoint>/v1/traces (JSON)
 *
 * The SDK is loaded with the first span: a process that records none does not pay for it. One SDK serves all sidecars
 * of the process, so each span is given its own sidecar's resource on its way out.
 * Bounds: `waitingMax` spans between a request's end and the receiver's answer; more are dropped and counted.
 */
import type { Context, HrTime, Tracer } from "@opentelemetry/api";
import type { IdGenerator, ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import type { NodeSDK } from "@opentelemetry/sdk-node";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { TracingConfig } from "./tracing-config.ts";
import type { FinishedSpan, SpanOrigin, SpanSink } from "./tracing-span.ts";

/** Spans that wait for the receiver. */
export const waitingMax = 4096;
/** Spans in one request, and the time between two requests, in ms. */
const batchMax = 512;
const batchDelayMs = 2000;
/** Longest time for one request, in ms. */
const exportTimeoutMs = 10_000;

type Export = SpanExporter["export"];

export interface OTLPSinkOptions {
  readonly config: Pick<TracingConfig, "endpoint">;
  readonly log: Logger;
}

export class OTLPSink implements SpanSink {
  readonly #options: OTLPSinkOptions;
  /** Until the SDK is loaded. */
  readonly #early: FinishedSpan[] = [];
  #pipeline: Pipeline | undefined;
  #loading: Promise<void> | undefined;
  #waiting = 0;
  #isFailing = false;

  constructor(options: OTLPSinkOptions) {
    this.#options = options;
  }

  add(span: FinishedSpan): void {
    if (this.#waiting >= waitingMax) {
      span.origin.counters.dropped++;
      return;
    }
    this.#waiting++;
    if (this.#pipeline !== undefined) return this.#pipeline.add(span);
    this.#early.push(span);
    this.#loading ??= this.#load();
  }

  /** Sends what waits, and ends. */
  async close(): Promise<void> {
    await this.#loading;
    await this.#pipeline?.close();
  }

  async #load(): Promise<void> {
    try {
      const settle: Settle = (origins, problem) => this.#settle(origins, problem);
      this.#pipeline = await openPipeline(this.#options, settle);
    } catch (error) {
      // Without the SDK every span counts as failed, and requests go on.
      this.#options.log.error("Cannot load OpenTelemetry", { error: messageOf(error) });
      this.#pipeline = { add: (span) => this.#settle([span.origin], error), close: () => Promise.resolve() };
    }
    for (const span of this.#early.splice(0)) this.#pipeline.add(span);
  }

  /** The receiver took them, or not. Says so once for each change. */
  #settle(origins: readonly SpanOrigin[], problem: unknown): void {
    this.#waiting -= origins.length;
    const key = problem === undefined ? "exported" : "failed";
    for (const { counters } of origins) counters[key]++;
    const { log, config } = this.#options;
    const isFailing = problem !== undefined;
    if (isFailing && !this.#isFailing)
      log.warn("Cannot export spans", { endpoint: config.endpoint, error: messageOf(problem) });
    if (!isFailing && this.#isFailing) log.info("Exports spans again", { endpoint: config.endpoint });
    this.#isFailing = isFailing;
  }
}

interface Pipeline {
  add(span: FinishedSpan): void;
  close(): Promise<void>;
}

type Settle = (origins: readonly SpanOrigin[], problem: unknown) => void;

/** Loads the SDK and starts it. Nothing is registered that a request could meet: no instrumentation, no propagator. */
async function openPipeline({ config: { endpoint }, log }: OTLPSinkOptions, settle: Settle): Promise<Pipeline> {
  const [api, { NodeSDK: SDK }, { AlwaysOnSampler, BatchSpanProcessor }, { OTLPTraceExporter }, resources] =
    await Promise.all([
      import("@opentelemetry/api"),
      import("@opentelemetry/sdk-node"),
      import("@opentelemetry/sdk-trace"),
      import("@opentelemetry/exporter-trace-otlp-http"),
      import("@opentelemetry/resources"),
    ]);
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  const receiver = new OTLPTraceExporter({ url, timeoutMillis: exportTimeoutMs });
  const origins = new WeakMap<object, SpanOrigin>();
  const resourceOf = memoize((origin: SpanOrigin) =>
    resources.defaultResource().merge(resources.resourceFromAttributes(origin.resource)),
  );
  const exporter: SpanExporter = {
    export: exportWith(receiver, (span) => origins.get(span)!, resourceOf, settle),
    shutdown: () => receiver.shutdown(),
    forceFlush: () => receiver.forceFlush?.() ?? Promise.resolve(),
  };
  const ids = new GivenIds();
  const sdk: NodeSDK = new SDK({
    autoDetectResources: false,
    textMapPropagator: null,
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
    sampler: new AlwaysOnSampler(),
    idGenerator: ids,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: waitingMax,
        maxExportBatchSize: batchMax,
        scheduledDelayMillis: batchDelayMs,
      }),
    ],
  });
  sdk.start();
  const tracer = api.trace.getTracer("wherry");
  return {
    add(span) {
      const made = startSpan(api, tracer, ids, span);
      origins.set(made, span.origin);
      made.end(toHrTime(span.endMs));
    },
    async close() {
      // What the receiver refused at the end has been counted and said by then.
      await sdk
        .shutdown()
        .catch((error: unknown) => log.debug("Spans were lost at the end", { error: messageOf(error) }));
      // The SDK registers itself for the whole process; the next one could not.
      api.trace.disable();
    },
  };
}

type Api = typeof import("@opentelemetry/api");
type SDKSpan = ReturnType<Tracer["startSpan"]>;

function startSpan(api: Api, tracer: Tracer, ids: GivenIds, span: FinishedSpan): SDKSpan {
  const { kind, name, startMs, isError } = span;
  ids.next = span;
  const made = tracer.startSpan(
    name,
    {
      kind: kind === "server" ? api.SpanKind.SERVER : api.SpanKind.CLIENT,
      startTime: toHrTime(startMs),
      attributes: span.attributes,
    },
    parentOf(api, span),
  );
  if (isError) made.setStatus({ code: api.SpanStatusCode.ERROR });
  return made;
}

/** The context that makes the span a child of the hop before. */
function parentOf(api: Api, { traceId, parentId, traceState }: FinishedSpan): Context {
  if (parentId === undefined) return api.ROOT_CONTEXT;
  return api.trace.setSpanContext(api.ROOT_CONTEXT, {
    traceId,
    spanId: parentId,
    traceFlags: api.TraceFlags.SAMPLED,
    isRemote: true,
    ...(traceState === "" ? {} : { traceState: api.createTraceState(traceState) }),
  });
}

/** The ids went out in the request's headers long before the span is made. */
class GivenIds implements IdGenerator {
  next: Pick<FinishedSpan, "traceId" | "spanId"> = { traceId: "", spanId: "" };

  generateTraceId(): string {
    return this.next.traceId;
  }

  generateSpanId(): string {
    return this.next.spanId;
  }
}

/** Exports each span as one of its sidecar's resource, and tells how it went. */
function exportWith(
  receiver: SpanExporter,
  originOf: (span: ReadableSpan) => SpanOrigin,
  resourceOf: (origin: SpanOrigin) => ReadableSpan["resource"],
  settle: Settle,
): Export {
  return (spans, done) => {
    const origins = spans.map(originOf);
    const own = spans.map(
      (span, at): ReadableSpan =>
        // The SDK's span with another resource: everything else is looked up in the original.
        Object.create(span, { resource: { value: resourceOf(origins[at]!) } }) as ReadableSpan,
    );
    receiver.export(own, (result) => {
      const code: number = result.code;
      settle(origins, code === 0 ? undefined : (result.error ?? new Error("the receiver refused them")));
      done(result);
    });
  };
}

function memoize<Key extends object, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new WeakMap<Key, Value>();
  return (key) => {
    let value = made.get(key);
    if (value === undefined) made.set(key, (value = make(key)));
    return value;
  };
}

/** Whole seconds and nanoseconds. */
function toHrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
