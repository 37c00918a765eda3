/**
 * Active health checks: each endpoint is asked at intervals; so many answers of one kind in a row change what it is
 * taken for.
 *
 *   Unknown (taken for healthy only once it has passed) ─▶ Healthy ⇄ Unhealthy
 *
 * HTTP goes by undici, which is loaded with the first check. Source: envoy.config.core.v3.HealthCheck.
 */
import { messageOf } from "#lib/errors.ts";
import type { Endpoint } from "../endpoint.ts";
import { type EngineDeps, dialOptions } from "../types.ts";

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

export type Check =
  | { readonly kind: "tcp" }
  | {
      readonly kind: "http";
      readonly method: string;
      readonly path: string;
      /** Default the cluster's name. */
      readonly host: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
      /** [from, to) */
      readonly expected: readonly (readonly [from: number, to: number])[];
    };

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

  constructor(spec: HealthCheckSpec, deps: EngineDeps, onChange: () => void) {
    this.#spec = spec;
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
    const { check } = this.#spec;
    try {
      return check.kind === "tcp" ? await this.#connects(endpoint) : await this.#answers(endpoint, check);
    } catch (error) {
      this.#deps.log.debug("Health check failed", {
        endpoint: `${endpoint.address}:${endpoint.port}`,
        error: messageOf(error),
      });
      return false;
    }
  }

  #connects({ address, port }: Endpoint): Promise<boolean> {
    const { dial, after } = this.#deps;
    return new Promise((resolve) => {
      const socket = dial(address, port, dialOptions);
      const done = (ok: boolean): void => {
        socket.destroy();
        resolve(ok);
      };
      socket.once("connect", () => done(true));
      socket.once("error", () => done(false));
      after(this.#spec.timeoutMs, () => done(false));
    });
  }

  async #answers(
    { address, port }: Endpoint,
    { method, path, host, headers, expected }: Extract<Check, { kind: "http" }>,
  ): Promise<boolean> {
    const { Agent, request } = await import("undici");
    const { dial } = this.#deps;
    // By the same dial as requests: from the same network, past the same redirection.
    const agent = new Agent({
      connect: (_options, done) => {
        const socket = dial(address, port, dialOptions);
        socket.once("connect", () => done(null, socket));
        socket.once("error", (error) => done(error, null));
      },
    });
    try {
      const { statusCode, body } = await request(
        `http://${address.includes(":") ? `[${address}]` : address}:${port}${path}`,
        {
          method: method as "GET",
          dispatcher: agent,
          headers: { host, "user-agent": "Envoy/HC", ...Object.fromEntries(headers) },
          signal: AbortSignal.timeout(this.#spec.timeoutMs),
        },
      );
      // What is left of the body is not wanted, and cutting it off is no failure.
      body.on("error", () => undefined).destroy();
      return expected.some(([from, to]) => statusCode >= from && statusCode < to);
    } finally {
      await agent.destroy();
    }
  }
}
