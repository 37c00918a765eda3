/**
 * forward: asks upstreams for names that nobody here knows.
 *
 *   Request ─▶ policy orders the upstreams ─▶ Upstream.ask, one after the other ─▶ Answer
 *
 * Bounded: `max_concurrent` queries wait at a time (REFUSED beyond), 5 s for all attempts together. When all upstreams
 * are down one is asked all the same, as the probes may be wrong; unless `failfast_all_unhealthy_upstreams`.
 * Follows: CoreDNS plugin/forward.
 */
import { type Answer, answerOf, statusAnswer } from "../answer.ts";
import { counter, family, gauge } from "../metrics.ts";
import type { Environment, Handler, Outcome, Plugin, PluginKind, Request } from "../plugin.ts";
import { Upstream } from "../upstream/upstream.ts";
import { UDPExchange } from "../upstream/udp.ts";
import { flags, rcodes } from "../wire/constants.ts";
import type { Message } from "../wire/message.ts";
import { closestZone } from "../wire/name.ts";
import { encodeSections } from "../wire/record.ts";
import { readSettings, type Settings } from "./forward-settings.ts";

/** For all attempts of one query, in ms. */
const deadlineMs = 5000;

/** The plugin `forward FROM TO… { … }`. */
export const forward: PluginKind = {
  name: "forward",
  setup([directive, ...more], _site, environment) {
    if (directive === undefined) throw new TypeError("forward needs a directive");
    const forwards = [directive, ...more].map((each) => new Forward(readSettings(each, environment), environment));
    return {
      name: "forward",
      wrap: (next) => forwards.reduceRight<Handler>((inner, each) => (request) => each.serve(request, inner), next),
      collect: () => forwards.flatMap((each) => each.collect()),
      stop: () => {
        for (const each of forwards) each.close();
      },
    } satisfies Plugin;
  },
};

class Forward {
  readonly #settings: Settings;
  readonly #environment: Environment;
  readonly #upstreams: readonly Upstream[];
  readonly #udp: UDPExchange;
  #waiting = 0;
  #turn = 0;
  #rejects = 0;
  #allDown = 0;

  constructor(settings: Settings, environment: Environment) {
    this.#settings = settings;
    this.#environment = environment;
    const { clock, random, transport } = environment;
    const log = environment.log.with({ plugin: "forward" });
    this.#udp = new UDPExchange({ transport, clock, random, log });
    const { tls, health, expireMs } = settings;
    const shared = { clock, random, log, transport, udp: this.#udp, tls, health, expireMs };
    this.#upstreams = settings.to.map((spec) => new Upstream({ ...shared, spec }));
  }

  serve(request: Request, next: Handler): Outcome {
    const { from, except, concurrentMax } = this.#settings;
    const { name } = request.query;
    if (closestZone(name, from) === undefined || closestZone(name, except) !== undefined) return next(request);
    if (concurrentMax > 0 && this.#waiting >= concurrentMax) {
      this.#rejects++;
      return statusAnswer(rcodes.refused, "forward");
    }
    return this.#ask(request, next);
  }

  async #ask(request: Request, next: Handler): Promise<Answer> {
    const { clock } = this.#environment;
    const { timeoutMs, failover } = this.#settings;
    const untilMs = clock.monotonicMs() + deadlineMs;
    let last: Message | undefined;
    const silent: string[] = [];
    this.#waiting++;
    try {
      for (const upstream of this.#candidates()) {
        const leftMs = untilMs - clock.monotonicMs();
        if (leftMs <= 0) break;
        const message = await this.#askOne(upstream, request, Math.min(leftMs, timeoutMs));
        if (message === undefined) silent.push(upstream.spec.text);
        if (message === undefined) continue;
        last = message;
        if (!failover.includes(message.rcode)) break;
      }
    } finally {
      this.#waiting--;
    }
    if (last === undefined) {
      const reason = silent.length === 0 ? "all upstreams are down" : `no answer from ${silent.join(", ")}`;
      return answerOf({ plugin: "forward", rcode: rcodes.servFail, reason });
    }
    return this.#settings.next.includes(last.rcode) ? next(request) : toAnswer(request, last);
  }

  async #askOne(upstream: Upstream, { query, proto }: Request, timeoutMs: number): Promise<Message | undefined> {
    const { isTCPForced, isUDPPreferred } = this.#settings;
    const isStream = isTCPForced || (!isUDPPreferred && proto !== "udp");
    const reply = await upstream.ask(query, isStream, timeoutMs);
    if (reply === undefined) return undefined;
    const isCut = (reply.message.word & flags.truncated) !== 0;
    // A downstream that does not speak UDP could not ask again by itself.
    if (!isCut || isStream || (proto === "udp" && !isUDPPreferred)) return reply.message;
    return (await upstream.ask(query, true, timeoutMs))?.message ?? reply.message;
  }

  /** The upstreams that are up, in the order of the policy; when there are none, one by chance. */
  #candidates(): readonly Upstream[] {
    const { random } = this.#environment;
    const all = this.#upstreams;
    const ordered = this.#ordered();
    const up = ordered.filter((upstream) => !upstream.isDown);
    if (up.length > 0) return up;
    this.#allDown++;
    const one = all[Math.floor(random.next() * all.length)];
    return this.#settings.failsFast || one === undefined ? [] : [one];
  }

  #ordered(): readonly Upstream[] {
    const all = this.#upstreams;
    if (this.#settings.policy === "sequential" || all.length === 1) return all;
    const { random } = this.#environment;
    const start =
      this.#settings.policy === "random" ? Math.floor(random.next() * all.length) : this.#turn++ % all.length;
    return [...all.slice(start), ...all.slice(0, start)];
  }

  collect(): ReturnType<NonNullable<Plugin["collect"]>> {
    const label = 'proxy_name="forward",';
    const each = (line: (upstream: Upstream) => readonly string[]): readonly string[] => this.#upstreams.flatMap(line);
    const durations = (prefix: string): readonly string[] =>
      each(({ spec, durations: byRcode }) =>
        [...byRcode].flatMap(([rcode, histogram]) => histogram.lines(`${prefix}to="${spec.text}",rcode="${rcode}"`)),
      );
    const answered = ({ durations: byRcode }: Upstream): number =>
      [...byRcode.values()].reduce((sum, { count }) => sum + count, 0);
    return [
      family("coredns_proxy_request_duration_seconds", "Seconds that upstreams took.", durations(label)),
      family("coredns_forward_request_duration_seconds", "Seconds that upstreams took.", durations("")),
      counter(
        "coredns_forward_requests_total",
        "Queries answered by upstreams.",
        each((one) => [`{to="${one.spec.text}"} ${answered(one)}`]),
      ),
      counter(
        "coredns_forward_responses_total",
        "Answers of upstreams by rcode.",
        each(({ spec, durations: byRcode }) =>
          [...byRcode].map(([rcode, { count }]) => `{to="${spec.text}",rcode="${rcode}"} ${count}`),
        ),
      ),
      counter(
        "coredns_proxy_healthcheck_failures_total",
        "Probes without an answer.",
        each(({ spec, healthFailures }) => [`{${label}to="${spec.text}"} ${healthFailures}`]),
      ),
      counter(
        "coredns_proxy_conn_cache_hits_total",
        "Questions that found a connection.",
        each(({ spec, connections }) => [`{${label}to="${spec.text}",proto="tcp"} ${connections.hits}`]),
      ),
      counter(
        "coredns_proxy_conn_cache_misses_total",
        "Questions that opened a connection.",
        each(({ spec, connections }) => [`{${label}to="${spec.text}",proto="tcp"} ${connections.misses}`]),
      ),
      counter("coredns_forward_healthcheck_broken_total", "Queries while all upstreams were down.", [
        ` ${this.#allDown}`,
      ]),
      counter("coredns_forward_max_concurrent_rejects_total", "Queries beyond max_concurrent.", [` ${this.#rejects}`]),
      counter("wherry_dns_upstream_unexpected_total", "Replies nobody waited for: late or forged.", [
        ` ${this.#udp.unexpected}`,
      ]),
      gauge("wherry_dns_forward_waiting", "Queries that wait for upstreams.", [` ${this.#waiting}`]),
    ];
  }

  close(): void {
    for (const upstream of this.#upstreams) upstream.close();
    this.#udp.close();
  }
}

/** What the upstream said, for our downstream. */
function toAnswer({ query }: Request, { word, rcode, records }: Message): Answer {
  const kept = flags.authoritative | flags.truncated | flags.recursionAvailable | flags.authenticData;
  return answerOf({ plugin: "forward", rcode, flags: word & kept, sections: encodeSections(query.name, records) });
}
