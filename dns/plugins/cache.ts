/**
 * cache: keeps what upstreams answered, encoded, and counts its TTL down.
 *
 *   Request ─▶ hit: Answer with its age
 *           └▶ miss: next, one question at a time for each key ─▶ store ─▶ Answer
 *
 * Never kept: answers of the cluster's own zone (`isLive`), which change with a watch event and not with a TTL;
 * zone transfers.
 * Bounded: two stores of `capacity` entries, the least recently used goes first. A failure never hides a usable
 * answer. Follows: CoreDNS plugin/cache, RFC 2308, RFC 8767 (stale answers).
 */
import type { Clock } from "#lib/clock.ts";
import { type Answer, answerOf, isTruncated, recordsOf, type Validity } from "../answer.ts";
import { counter, gauge } from "../metrics.ts";
import type { Handler, Outcome, Plugin, PluginKind, Repetition, Request } from "../plugin.ts";
import { flags, rcodes, types } from "../wire/constants.ts";
import { soaMinimum } from "../wire/data.ts";
import { closestZone } from "../wire/name.ts";
import { encodeSections, type RR } from "../wire/record.ts";
import { type Kind, readSettings, type Settings } from "./cache-settings.ts";

interface Entry {
  readonly key: string;
  readonly answer: Answer;
  readonly kind: Kind;
  /** By the monotonic clock, as all times here: who sets the clock makes nothing younger. */
  readonly storedMs: number;
  readonly ttl: number;
  hits: number;
  lastHitMs: number;
  /** Whether another one has its place, or none. */
  isGone: boolean;
}

/** How long an entry is as old as it is. */
class Aged implements Validity {
  readonly entry: Entry;
  readonly refresh: () => void;
  readonly #clock: Clock;
  readonly #untilMs: number;

  constructor(entry: Entry, clock: Clock, seconds: number, refresh: () => void) {
    this.entry = entry;
    this.refresh = refresh;
    this.#clock = clock;
    this.#untilMs = entry.storedMs + Math.min(seconds, entry.ttl) * 1000;
  }

  get isOver(): boolean {
    return this.entry.isGone || this.#clock.monotonicMs() >= this.#untilMs;
  }
}

/** More than any TTL: what a stale answer's records are aged by. */
const allOfIt = 0xffff_ffff;

/** The plugin `cache [TTL] [ZONES…] { … }`. */
export const cache: PluginKind = {
  name: "cache",
  setup([directive], site, { clock }) {
    if (directive === undefined) throw new TypeError("cache needs a directive");
    const made = new Cache(readSettings(directive, site.zones), clock);
    const labels = `server="${site.server}"`;
    return {
      name: "cache",
      wrap: (next) => (request) => made.serve(request, next),
      repeat: (request, answer) => made.repeat(request, answer),
      collect: () => made.collect(labels, site.zone),
    } satisfies Plugin;
  },
};

class Cache {
  readonly #settings: Settings;
  readonly #clock: Clock;
  readonly #stores: Readonly<Record<Kind, Map<string, Entry>>> = { success: new Map(), denial: new Map() };
  /** Questions that are being asked, by `askingKey`: the others who want to know wait for the same answer. */
  readonly #asking = new Map<string, Promise<Answer>>();
  readonly #hits = { success: 0, denial: 0 };
  readonly #evictions = { success: 0, denial: 0 };
  #misses = 0;
  #requests = 0;
  #prefetches = 0;
  #drops = 0;
  #stale = 0;

  constructor(settings: Settings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
  }

  serve(request: Request, next: Handler): Outcome {
    const { query } = request;
    if (query.class !== 1 || closestZone(query.name, this.#settings.zones) === undefined) return next(request);
    if (query.type === types.axfr) return next(request);
    this.#requests++;
    const key = keyOf(request);
    const entry = this.#entryOf(key);
    if (entry === undefined) return this.#ask(key, request, next);
    const leftSeconds = entry.ttl - (this.#clock.monotonicMs() - entry.storedMs) / 1000;
    if (leftSeconds > 0) {
      if (this.#noteHit(entry, leftSeconds)) this.#refresh(key, request, next);
      return this.#aged(entry, () => this.#refresh(key, request, next));
    }
    if (leftSeconds <= -this.#settings.staleSeconds || entry.answer.rcode === rcodes.servFail) {
      return this.#ask(key, request, next);
    }
    return this.#serveStale(key, entry, request, next);
  }

  #entryOf(key: string): Entry | undefined {
    return this.#stores.success.get(key) ?? this.#stores.denial.get(key);
  }

  /** Counts a hit. True: it is time to ask again. */
  #noteHit(entry: Entry, leftSeconds: number): boolean {
    const { prefetchHits, prefetchWithinMs, prefetchShare } = this.#settings;
    const nowMs = this.#clock.monotonicMs();
    this.#hits[entry.kind]++;
    // Young again: the last of a Map is the one used last.
    const store = this.#stores[entry.kind];
    if (store.delete(entry.key)) store.set(entry.key, entry);
    entry.hits = nowMs - entry.lastHitMs > prefetchWithinMs ? 1 : entry.hits + 1;
    entry.lastHitMs = nowMs;
    const isDue = prefetchHits > 0 && entry.hits >= prefetchHits && leftSeconds <= entry.ttl * prefetchShare;
    if (isDue) this.#prefetches++;
    return isDue;
  }

  /** The answer as old as it is, until it is a second older. */
  #aged(entry: Entry, refresh: () => void): Answer {
    const ageSeconds = Math.floor((this.#clock.monotonicMs() - entry.storedMs) / 1000);
    const validity = new Aged(entry, this.#clock, ageSeconds + 1, refresh);
    return { ...entry.answer, ageSeconds: this.#settings.keepsTTL ? 0 : ageSeconds, validity };
  }

  /** What lives in the cluster passes; what is in the store is counted, and renewed when it is time. */
  repeat({ query }: Request, { isLive, validity }: Answer): Repetition | undefined {
    if (query.class !== 1 || closestZone(query.name, this.#settings.zones) === undefined) return {};
    if (isLive) {
      return {
        count: () => {
          this.#requests++;
          this.#misses++;
        },
      };
    }
    if (!(validity instanceof Aged)) return undefined;
    const { entry, refresh } = validity;
    return {
      count: () => {
        this.#requests++;
        const leftSeconds = entry.ttl - (this.#clock.monotonicMs() - entry.storedMs) / 1000;
        if (this.#noteHit(entry, leftSeconds)) refresh();
      },
    };
  }

  /** RFC 8767: an expired answer is better than none. */
  async #serveStale(key: string, entry: Entry, request: Request, next: Handler): Promise<Answer> {
    const stale = { ...entry.answer, ageSeconds: allOfIt };
    if (this.#settings.verifiesStale) {
      const fresh = await this.#ask(key, request, next);
      // RFC 8767 §4: nothing else says anything about the name.
      if (isRefresh(fresh)) return fresh;
    } else this.#refresh(key, request, next);
    this.#stale++;
    return stale;
  }

  #refresh(key: string, request: Request, next: Handler): void {
    if (this.#asking.has(askingKey(key, request))) return;
    const asked = this.#ask(key, request, next);
    // Nobody waits for it: a failure leaves what is there.
    if (asked instanceof Promise) asked.catch(() => this.#drops++);
  }

  #ask(key: string, request: Request, next: Handler): Outcome {
    const which = askingKey(key, request);
    const asking = this.#asking.get(which);
    if (asking !== undefined) return asking;
    this.#misses++;
    const outcome = next(request);
    if (!(outcome instanceof Promise)) return this.#store(key, request, outcome);
    const stored = outcome
      .then((answer) => this.#store(key, request, answer))
      .finally(() => this.#asking.delete(which));
    this.#asking.set(which, stored);
    return stored;
  }

  /** Keeps the answer where it may be kept; the answer as it is then given out. */
  #store(key: string, request: Request, answer: Answer): Answer {
    const { query } = request;
    if (answer.isLive || answer.rcode < 0 || isTruncated(answer)) return answer;
    const kind = kindOf(answer);
    if (kind === undefined) {
      if (answer.rcode !== rcodes.servFail || this.#settings.servfailSeconds === 0) return answer;
      // Neither a valid nor a stale answer is lost for a failure, be it of records or that there are none.
      if (!this.#hasUsable(key)) this.#put(key, answer, "denial", this.#settings.servfailSeconds);
      return answer;
    }
    if (closestZone(query.name, this.#settings.disabled[kind]) !== undefined) return answer;
    const records = recordsOf(query, answer);
    const { ttlMax, ttlMin } = this.#settings.stores[kind];
    const all = [...records.answer, ...records.authority, ...records.additional];
    const ttl = Math.max(ttlMin, Math.min(ttlMax, kind === "success" ? leastTTL(all) : denialTTL(records.authority)));
    const withTTL = (rows: readonly RR[]): readonly RR[] => rows.map((record) => ({ ...record, ttl }));
    const sections = encodeSections(query.name, {
      answer: withTTL(records.answer),
      authority: withTTL(records.authority),
      additional: withTTL(records.additional),
    });
    const kept = answerOf({ ...answer, plugin: "cache", sections, validity: undefined });
    if (ttl > 0) this.#put(key, kept, kind, ttl);
    return { ...kept, plugin: answer.plugin };
  }

  /** Whether there is something other than a failure to give out, valid or as stale as may be. */
  #hasUsable(key: string): boolean {
    const entry = this.#entryOf(key);
    if (entry === undefined || entry.answer.rcode === rcodes.servFail) return false;
    return this.#clock.monotonicMs() - entry.storedMs < (entry.ttl + this.#settings.staleSeconds) * 1000;
  }

  #put(key: string, answer: Answer, kind: Kind, ttl: number): void {
    this.#drop("success", key);
    this.#drop("denial", key);
    const store = this.#stores[kind];
    const nowMs = this.#clock.monotonicMs();
    store.set(key, { key, answer, kind, storedMs: nowMs, ttl, hits: 0, lastHitMs: nowMs, isGone: false });
    if (store.size <= this.#settings.stores[kind].capacity) return;
    const [oldest] = store.keys();
    if (oldest !== undefined) this.#drop(kind, oldest);
    this.#evictions[kind]++;
  }

  #drop(kind: Kind, key: string): void {
    const entry = this.#stores[kind].get(key);
    if (entry === undefined) return;
    entry.isGone = true;
    this.#stores[kind].delete(key);
  }

  collect(labels: string, zones: string): ReturnType<NonNullable<Plugin["collect"]>> {
    const where = `zones="${zones}",view=""`;
    const byKind = (counts: Readonly<Record<Kind, number>>): readonly string[] =>
      (["success", "denial"] as const).map((kind) => `{${labels},type="${kind}",${where}} ${counts[kind]}`);
    const single = (count: number): readonly string[] => [`{${labels},${where}} ${count}`];
    const sizes = { success: this.#stores.success.size, denial: this.#stores.denial.size };
    return [
      gauge("coredns_cache_entries", "Answers in the cache.", byKind(sizes)),
      counter("coredns_cache_hits_total", "Queries answered from the cache.", byKind(this.#hits)),
      counter("coredns_cache_evictions_total", "Answers that made room for others.", byKind(this.#evictions)),
      counter("coredns_cache_requests_total", "Queries of cached zones.", single(this.#requests)),
      counter("coredns_cache_misses_total", "Queries that were not in the cache.", single(this.#misses)),
      counter("coredns_cache_prefetch_total", "Answers renewed before they expired.", single(this.#prefetches)),
      counter("coredns_cache_drops_total", "Renewals that failed.", single(this.#drops)),
      counter("coredns_cache_served_stale_total", "Expired answers given out.", single(this.#stale)),
    ];
  }
}

/** DO and CD make other answers (RFC 4035 §3.2); so does RD: without it an upstream may say only what it has. */
function keyOf({ query }: Request): string {
  const word = query.bytes.readUInt16BE(2);
  const bits = (query.dnssecOK ? 1 : 0) | (word & (flags.checkingDisabled | flags.recursionDesired));
  return `${query.name}${query.type} ${bits}`;
}

/** Without EDNS an upstream cuts its answer over UDP sooner than with it, and over TCP not at all. */
function askingKey(key: string, { query, proto }: Request): string {
  return `${key} ${proto === "udp" ? (query.payloadBytes === undefined ? "udp" : "edns") : "stream"}`;
}

/** Whether an answer takes the place of a stale one: whole, and NOERROR or NXDOMAIN. */
function isRefresh(answer: Answer): boolean {
  return (answer.rcode === rcodes.noError || answer.rcode === rcodes.nxDomain) && !isTruncated(answer);
}

/** Undefined for what is kept only as a failure, or not at all. */
function kindOf({ rcode, sections }: Answer): Kind | undefined {
  if (rcode === rcodes.nxDomain) return "denial";
  if (rcode !== rcodes.noError) return undefined;
  return sections.counts[0] > 0 ? "success" : "denial";
}

function leastTTL(records: readonly RR[]): number {
  return records.reduce((least, { ttl }) => Math.min(least, ttl), Infinity);
}

/** RFC 2308 §5. Without an SOA nothing says for how long: the least. */
function denialTTL(authority: readonly RR[]): number {
  const soa = authority.find(({ type }) => type === types.soa);
  return soa === undefined ? 0 : Math.min(soa.ttl, soaMinimum(soa));
}
