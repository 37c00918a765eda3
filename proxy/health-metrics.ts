/**
 * What health checks were answered, under kube-proxy's names.
 *
 *   GET /healthz, /livez ─▶ counted page ─▶ collect() ─▶ GET /metrics on 10249
 *
 * Beside the proxy's own metrics, for they count also before there is a proxy, and go on when it is made anew.
 */
import { Counter, renderPage } from "#api/metrics/exposition.ts";
import type { Page } from "#api/metrics/server.ts";

type Check = "healthz" | "livez";

export class HealthMetrics {
  readonly #answers = {
    healthz: new Counter({ name: "kubeproxy_proxy_healthz_total", help: "Answers of /healthz.", labels: ["code"] }),
    livez: new Counter({ name: "kubeproxy_proxy_livez_total", help: "Answers of /livez.", labels: ["code"] }),
  };

  constructor() {
    // Both series from the start, so that a rate of failures is 0 and not absent.
    for (const counter of Object.values(this.#answers)) for (const code of ["200", "503"]) counter.add({ code }, 0);
  }

  /** The page, each answer counted. */
  counted(check: Check, page: Page): Page {
    return async () => {
      const answer = await page();
      this.#answers[check].add({ code: String(answer.status) });
      return answer;
    };
  }

  /** Prometheus text exposition. */
  collect(): string {
    return renderPage(Object.values(this.#answers));
  }
}
