/**
 * What tracing is told: where spans go, how many requests are traced, and which headers carry the trace.
 *
 *   `--otlp-endpoint`, `--trace-sampling`, `--trace-propagation` ─▶ TracingConfig ─▶ SidecarHost ─▶ tracing.ts, otel.ts
 */

/** Headers that carry a trace: W3C Trace Context, Zipkin's B3 in one header or many, or all of them. */
export const propagations = ["w3c", "b3", "both"] as const;
export type Propagation = (typeof propagations)[number];

export interface TracingConfig {
  /** Base URL of an OTLP/HTTP receiver, as seen from the node; spans are posted to `<endpoint>/v1/traces`. */
  readonly endpoint: string;
  /** Share of the requests without a trace for which one is recorded, in percent, 0 to 100. Default 1, as in Istio. */
  readonly samplingPercent: number;
  readonly propagation: Propagation;
}

export const samplingPercentDefault = 1;
export const propagationDefault: Propagation = "w3c";
