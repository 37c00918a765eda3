/**
 * Global rate limits counted in Redis, without a service between.
 *
 *   descriptors ─▶ the limit that each falls under ─▶ one Lua script (one round trip) ─▶ LimitAnswer
 *
 * Fixed windows: a window opens with its first request, by PEXPIRE, and all proxies count in it; refused requests count
 * too. Chosen over GCRA because a limit then means what it says ("100 a minute"), one integer a descriptor is kept, and
 * it is what Envoy's own rate limit service does. Invariants: counting and expiry are one step, so that no count is
 * left without an end; a connection that broke is made anew by the next request, at most one in `reconnectMs`.
 */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import type { Redis } from "ioredis";
import type { FilterContext } from "../filter.ts";
import type { Descriptor, DescriptorEntry } from "../route/rate-limits.ts";
import type { LimitAnswer, LimitService } from "./rate-limit.ts";

export interface RedisLimit {
  /** Of a descriptor with these keys in this order; an entry without a value takes any, each counted for itself. */
  readonly entries: readonly { readonly key: string; readonly value: string | undefined }[];
  readonly requestsMax: number;
  readonly windowMs: number;
}

export interface RedisLimitsOptions {
  readonly domain: string;
  /** redis://[user:password@]host:port[/db], rediss:// for TLS, or a path of a socket. */
  readonly url: string;
  /** The first one that fits a descriptor counts. */
  readonly limits: readonly RedisLimit[];
  readonly timeoutMs: number;
}

/**
 * KEYS: counters. ARGV: for each its limit and its window in ms. Answers the largest excess in ms to wait, 0 for none.
 * A counter without an end (a key that was made by somebody else) gets one.
 */
const script = `
local wait = 0
for i, key in ipairs(KEYS) do
  local count = redis.call('INCR', key)
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = tonumber(ARGV[2 * i])
    redis.call('PEXPIRE', key, left)
  end
  if count > tonumber(ARGV[2 * i - 1]) and left > wait then wait = left end
end
return wait`;

/** Longest key that is written out; others are hashed, so that a long header costs no memory there. */
const keyLengthMax = 200;
const reconnectMs = 200;

/** A connection with the one command that is used. */
interface Counting extends Redis {
  wherryLimit(keyCount: number, ...keysAndArguments: readonly (string | number)[]): Promise<number>;
}

const passes: LimitAnswer = { isOver: false, responseHeaders: [], requestHeaders: [], body: "" };

export class RedisLimits implements LimitService {
  readonly #options: RedisLimitsOptions;
  #redis: Promise<Counting> | undefined;
  #connectedMs = -Infinity;

  constructor(options: RedisLimitsOptions) {
    this.#options = options;
  }

  async ask(descriptors: readonly Descriptor[], context: FilterContext): Promise<LimitAnswer> {
    const counters = countersOf(this.#options, descriptors);
    if (counters.size === 0) return passes;
    const redis = await this.#connected(context.nowMs());
    const numbers = [...counters.values()].flatMap(({ requestsMax, windowMs }) => [requestsMax, windowMs]);
    const waitMs = await redis.wherryLimit(counters.size, ...counters.keys(), ...numbers);
    if (waitMs <= 0) return passes;
    const responseHeaders = [["retry-after", String(Math.ceil(waitMs / 1000))]] as const;
    return { isOver: true, responseHeaders, requestHeaders: [], body: "" };
  }

  async #connected(nowMs: number): Promise<Counting> {
    if (this.#redis !== undefined) {
      const redis = await this.#redis;
      if (redis.status !== "end") return redis;
    }
    // Another request may have begun while this one waited.
    if (nowMs - this.#connectedMs < reconnectMs && this.#redis !== undefined) return this.#redis;
    this.#connectedMs = nowMs;
    this.#redis = connect(this.#options);
    return this.#redis;
  }
}

async function connect({ url, timeoutMs }: RedisLimitsOptions): Promise<Counting> {
  // Loaded when it is needed: most proxies have no such filter.
  const { Redis } = await import("ioredis");
  const redis = new Redis(url, {
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    // Who asks next connects again; nothing waits in a queue for a server that is not there.
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
  });
  // Each request that failed is told of it; this keeps the event from ending the process.
  redis.on("error", () => undefined);
  // What keeps the process alive are its listeners.
  redis.on("connect", () => (redis as unknown as { readonly stream?: Socket }).stream?.unref());
  redis.defineCommand("wherryLimit", { lua: script });
  return redis as Counting;
}

/** By key: what counts each descriptor that falls under a limit. Keys of one domain are in one slot of a cluster. */
export function countersOf(
  { domain, limits }: Pick<RedisLimitsOptions, "domain" | "limits">,
  descriptors: readonly Descriptor[],
): ReadonlyMap<string, RedisLimit> {
  const counters = new Map<string, RedisLimit>();
  for (const descriptor of descriptors) {
    const limit = limits.find(({ entries }) => covers(entries, descriptor));
    if (limit === undefined) continue;
    const text = descriptor.map(({ key, value }) => `${quote(key)}=${quote(value)}`).join("&");
    const short = text.length <= keyLengthMax ? text : createHash("sha256").update(text).digest("hex");
    counters.set(`wherry:{${quote(domain)}}:${limit.windowMs}:${short}`, limit);
  }
  return counters;
}

function covers(entries: RedisLimit["entries"], descriptor: readonly DescriptorEntry[]): boolean {
  return (
    entries.length === descriptor.length &&
    entries.every(({ key, value }, at) => {
      const entry = descriptor[at]!;
      return entry.key === key && (value === undefined || entry.value === value);
    })
  );
}

/** Unlike encodeURIComponent, never throws. */
function quote(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replaceAll(/[{}=&%]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
}
