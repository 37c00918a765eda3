/**
 * What a program asked of the API server, under client-go's names.
 *
 *   HttpKubeClient ─ answered() ─▶ ClientMetrics ─▶ collect() ─▶ GET /metrics
 *
 * Source: k8s.io/component-base metrics/prometheus/restclient. Labels `host` and `method` come from a program's own few
 * servers and verbs, so the series are bounded.
 */
import { Counter, Histogram, renderPage } from "../metrics/exposition.ts";

/** One request and what came of it. */
export interface ClientAnswer {
  /** `host:port` of the server. */
  readonly host: string;
  readonly method: string;
  /** HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  /** Until the headers of the answer, in s. */
  readonly seconds: number;
}

export class ClientMetrics {
  readonly #requests = new Counter({
    name: "rest_client_requests_total",
    help: "Requests to the API server.",
    labels: ["code", "host", "method"],
  });
  readonly #durations = new Histogram({
    name: "rest_client_request_duration_seconds",
    help: "Seconds until the headers of an answer.",
    labels: ["host", "verb"],
    bounds: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
  });

  answered({ host, method, status, seconds }: ClientAnswer): void {
    this.#requests.add({ code: status === undefined ? "<error>" : String(status), host, method });
    this.#durations.observe({ host, verb: method }, seconds);
  }

  /** Prometheus text exposition. */
  collect(): string {
    return renderPage([this.#requests, this.#durations]);
  }
}
