/**
 * The global rate limit: asks a service, which all proxies share, whether a request may pass.
 *
 *   the route's rate_limits ─▶ descriptors ─▶ LimitService (rls.ts, redis-limits.ts) ─▶ on, or 429 with flag RL
 *
 * A service that does not answer in time lets requests pass, or refuses them with flag RLSE, as configured. Invariant:
 * at most `pendingMax` requests wait for a service; the next one is treated as if the service had failed.
 * Source: Envoy's ratelimit filter.
 */
import { messageOf } from "#lib/errors.ts";
import type { FilterContext, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { Descriptor } from "../route/rate-limits.ts";
import type { EngineDeps } from "../types.ts";

type HeaderPair = readonly [name: string, value: string];

export interface LimitAnswer {
  readonly isOver: boolean;
  /** For the response, be it the upstream's or the refusal. */
  readonly responseHeaders: readonly HeaderPair[];
  /** For the request, where it passes. */
  readonly requestHeaders: readonly HeaderPair[];
  /** Of the refusal. */
  readonly body: string;
}

/** Who counts. */
export interface LimitService {
  /** Rejects when there is no answer. `context`: of the request that asks; `signal`: nobody waits any more. */
  ask(descriptors: readonly Descriptor[], context: FilterContext, signal: AbortSignal): Promise<LimitAnswer>;
}

export interface RateLimitSettings {
  readonly stage: number;
  /** Time for an answer, in ms. */
  readonly timeoutMs: number;
  /** Requests are refused when the service fails. */
  readonly deniesOnError: boolean;
  readonly status: number;
  readonly errorStatus: number;
  /** gRPC requests are refused with RESOURCE_EXHAUSTED instead of UNAVAILABLE. */
  readonly tellsExhausted: boolean;
  /** Added to refusals. */
  readonly headers: readonly HeaderPair[];
}

/** Most requests that wait for one service at a time. */
const pendingMax = 4096;
const resourceExhausted = 8;
const serviceFailed = "Cannot serve request: its rate limit service did not answer";
/** Shortest time between two lines in the log about a service that fails, in ms. */
const logEveryMs = 10_000;

export function rateLimitFilter(
  name: string,
  settings: RateLimitSettings,
  { service, deps }: { readonly service: LimitService; readonly deps: EngineDeps },
): HttpFilterFactory {
  const gate = new Gate(settings, service, deps);
  return { name, create: () => limited(name, gate) };
}

function limited(name: string, gate: Gate): HttpFilter {
  let answer: LimitAnswer | undefined;
  return {
    onRequestHeaders(context) {
      if (context.routeConfigOf(name) === "disabled") return "continue";
      const descriptors = context.descriptorsOf(gate.settings.stage);
      if (descriptors.length === 0) return "continue";
      // A refusal has its headers already.
      void gate.pass(context, descriptors).then((passed) => (answer = passed?.isOver === true ? undefined : passed));
      return "stop";
    },
    onResponseHeaders(context) {
      for (const [header, value] of answer?.responseHeaders ?? []) context.responseHeaders.append(header, value);
      return "continue";
    },
  };
}

/** Lets requests of one filter pass, or answers them. */
class Gate {
  readonly settings: RateLimitSettings;
  readonly #service: LimitService;
  readonly #deps: EngineDeps;
  #pending = 0;
  #loggedMs = -Infinity;

  constructor(settings: RateLimitSettings, service: LimitService, deps: EngineDeps) {
    this.settings = settings;
    this.#service = service;
    this.#deps = deps;
  }

  /** Resumes or answers the request. Never rejects. */
  async pass(context: FilterContext, descriptors: readonly Descriptor[]): Promise<LimitAnswer | undefined> {
    try {
      const answer = await this.#ask(descriptors, context);
      if (answer.isOver) this.#refuse(context, answer);
      else {
        for (const [header, value] of answer.requestHeaders) context.requestHeaders.append(header, value);
        context.resume();
      }
      return answer;
    } catch (error) {
      this.#onError(context, error);
      return undefined;
    }
  }

  async #ask(descriptors: readonly Descriptor[], context: FilterContext): Promise<LimitAnswer> {
    if (this.#pending >= pendingMax) throw new Error(`${pendingMax} requests wait for it`);
    const { timeoutMs } = this.settings;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const over = new AbortController();
    // Not the request's own timer: what waits must end when its downstream has left, too.
    this.#deps.after(timeoutMs, () => {
      over.abort();
      reject(new Error(`no answer within ${timeoutMs} ms`));
    });
    this.#pending++;
    try {
      return await Promise.race([this.#service.ask(descriptors, context, over.signal), late]);
    } finally {
      this.#pending--;
    }
  }

  #refuse(context: FilterContext, { responseHeaders, body }: LimitAnswer): void {
    const { status, tellsExhausted, headers } = this.settings;
    const grpcStatus = tellsExhausted ? { grpcStatus: resourceExhausted } : {};
    const sentence = body === "" ? "Cannot serve request: it is over its global rate limit" : body;
    context.reply({ status, flag: "RL", sentence, body, headers: [...responseHeaders, ...headers], ...grpcStatus });
  }

  #onError(context: FilterContext, error: unknown): void {
    const nowMs = this.#deps.nowMs();
    if (nowMs - this.#loggedMs >= logEveryMs) {
      this.#loggedMs = nowMs;
      const consequence = this.settings.deniesOnError ? "requests are refused" : "requests pass";
      this.#deps.log.warn("Cannot ask rate limit service", { error: messageOf(error), consequence });
    }
    if (this.settings.deniesOnError)
      context.reply({ status: this.settings.errorStatus, flag: "RLSE", sentence: serviceFailed, body: "" });
    else context.resume();
  }
}
