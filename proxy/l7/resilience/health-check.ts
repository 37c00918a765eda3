/**
 * Active health checks: each endpoint is asked at intervals; so many answers of one kind in a row change what it is
 * taken for.
 *
 *   Unknown (taken for healthy only once it has passed) ─▶ Healthy ⇄ Unhealthy
 *
 * Source: envoy.config.core.v3.HealthCheck.
 */
import { messageOf } from "#lib/errors.ts";
import type { Endpoint } from "../endpoint.ts";
import type { UpstreamTLS } from "../tls/types.ts";
import type { EngineDeps } from "../types.ts";
import { type Check, probe } from "./health-probe.ts";

export interface HealthCheckSpec {
  readonly timeoutMs: number;
  readonly intervalMs: number;
  /** While the endpoint is healthy, unhealthy, and between the answers that make it change; default `intervalMs`. */
  readonly unhealthyIntervalMs: number;
  readonly unhealthyEdgeIntervalMs: number;
  readonly healthyEdgeIntervalMs: number;
  readonly intervalJitterMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly check: Check;
}

/** What is known of one endpoint. */
interface Course {
  readonly endpoint: Endpoint;
  isOver: boolean;
  hasPassed: boolean;
  /** Answers in a row that differ from what it is taken for. */
  row: number;
}

export class HealthChecker {
  readonly #spec: HealthCheckSpec;
  readonly #tls: UpstreamTLS | undefined;
  readonly #deps: EngineDeps;
  readonly #onChange: () => void;
  readonly #courses = new Map<Endpoint, Course>();
  #isStarted = false;
  /** Checks so far. */
  readonly counts: { attempts: number; successes: number; failures: number } = {
    attempts: 0,
    successes: 0,
    failures: 0,
  };

  /** `tls`: how endpoints are connected to; undefined: in plaintext. */
  constructor(
    spec: HealthCheckSpec,
    deps: EngineDeps,
    { tls, onChange }: { readonly tls: UpstreamTLS | undefined; readonly onChange: () => void },
  ) {
    this.#spec = spec;
    this.#tls = tls;
    this.#deps = deps;
    this.#onChange = onChange;
  }

  update(endpoints: readonly Endpoint[]): void {
    const wanted = new Set(endpoints);
    for (const [endpoint, course] of this.#courses)
      if (!wanted.has(endpoint)) {
        course.isOver = true;
        this.#courses.delete(endpoint);
      }
    for (const endpoint of endpoints) {
      if (this.#courses.has(endpoint)) continue;
      const course: Course = { endpoint, isOver: false, hasPassed: false, row: 0 };
      this.#courses.set(endpoint, course);
      endpoint.isChecked = false;
      if (this.#isStarted) void this.#once(course);
    }
  }

  /** Begins to ask. Endpoints that come later are asked at once. */
  start(): void {
    this.#isStarted = true;
    for (const course of this.#courses.values()) void this.#once(course);
  }

  close(): void {
    this.update([]);
  }

  async #once(course: Course): Promise<void> {
    if (course.isOver) return;
    this.counts.attempts++;
    const ok = await this.#passes(course.endpoint);
    if (course.isOver) return;
    if (ok) this.counts.successes++;
    else this.counts.failures++;
    const before = course.endpoint.isChecked;
    this.#judge(course, ok);
    if (course.endpoint.isChecked !== before) this.#onChange();
    this.#deps.after(this.#delayMs(course, ok), () => void this.#once(course));
  }

  /** The first check alone decides; later it takes as many in a row as the threshold says. */
  #judge(course: Course, ok: boolean): void {
    const { endpoint } = course;
    if (!course.hasPassed && ok) {
      course.hasPassed = true;
      endpoint.isChecked = true;
      course.row = 0;
      return;
    }
    if (ok === endpoint.isChecked) {
      course.row = 0;
      return;
    }
    course.row++;
    if (course.row < (ok ? this.#spec.healthyThreshold : this.#spec.unhealthyThreshold)) return;
    endpoint.isChecked = ok;
    course.row = 0;
    if (ok) endpoint.servesSinceMs = this.#deps.nowMs();
  }

  #delayMs({ endpoint, row }: Course, ok: boolean): number {
    const { intervalMs, unhealthyIntervalMs, unhealthyEdgeIntervalMs, healthyEdgeIntervalMs } = this.#spec;
    const isChanging = row > 0;
    const base = ok
      ? isChanging
        ? healthyEdgeIntervalMs
        : intervalMs
      : isChanging && endpoint.isChecked
        ? unhealthyEdgeIntervalMs
        : unhealthyIntervalMs;
    return base + this.#spec.intervalJitterMs * this.#deps.random.next();
  }

  async #passes(endpoint: Endpoint): Promise<boolean> {
    const { check, timeoutMs } = this.#spec;
    try {
      return await probe(check, { to: endpoint, timeoutMs, tls: this.#tls }, this.#deps);
    } catch (error) {
      this.#deps.log.debug("Health check failed", {
        endpoint: `${endpoint.address}:${endpoint.port}`,
        error: messageOf(error),
      });
      return false;
    }
  }
}
