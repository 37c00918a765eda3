/**
 * From a message to its response: parse, pick the server block, ask its chain, encode, count.
 *
 *   sockets ─▶ Responder.respond(bytes) ─▶ Router ─▶ Handler ─▶ encodeResponse ─▶ sockets
 *
 * Invariants: no message, however malformed, ends the process or goes without its rcode. What can be answered at once
 * is, without a promise. Bounded: `waitingMax` queries wait at a time; beyond it they are SERVFAIL, and counted.
 */
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { type Answer, statusAnswer } from "../answer.ts";
import { type ServerCounters, SiteMetrics } from "../metrics.ts";
import type { Proto, Request } from "../plugin.ts";
import { messageBytesMax, rcodes } from "../wire/constants.ts";
import { toText } from "../wire/name.ts";
import { parseQuery, type Query } from "../wire/query.ts";
import { encodeReject, encodeResponse, udpLimit } from "../wire/response.ts";
import { Prebuilt } from "./prebuilt.ts";
import type { Router, Served } from "./router.ts";

/** One response, several for a zone transfer, or none. */
export type Response = Buffer | readonly Buffer[] | undefined;

/** The response to a message from `address`, now or later. Never throws, never rejects. */
export type Respond = (message: Buffer, proto: Proto, address: string, port: number) => Response | Promise<Response>;

/** Queries that wait for an upstream, over all sockets of a process. */
const waitingMax = 20_000;

const failed = statusAnswer(rcodes.servFail);
const refused = statusAnswer(rcodes.refused);

export interface ResponderOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: ServerCounters;
  /** `dns://:53` */
  readonly server: string;
  readonly router: Router;
}

interface Pending {
  readonly request: Request;
  readonly served: Served;
  readonly startMs: number;
  readonly requestBytes: number;
}

/** What answers on one address. Its router may be replaced at any time. */
export class Responder {
  /** Responses over UDP that are given out again. */
  readonly prebuilt: Prebuilt;
  #router: Router;
  readonly #options: ResponderOptions;
  readonly #junk: SiteMetrics;
  #waiting = 0;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#router = options.router;
    this.prebuilt = new Prebuilt(options.clock);
    this.#junk = new SiteMetrics(options.server, "dropped");
  }

  get router(): Router {
    return this.#router;
  }

  set router(router: Router) {
    this.prebuilt.clear();
    this.#router = router;
  }

  collect(): ReturnType<SiteMetrics["collect"]> {
    return this.#junk.collect();
  }

  readonly respond: Respond = (message, proto, address, port) => {
    const startMs = this.#options.clock.monotonicMs();
    const query = parseQuery(message);
    if (query.kind !== "query") return this.#reject(query, proto, message.length);
    const request: Request = { query, proto, client: clientOf(address), clientPort: port, depth: 0 };
    const served = this.#router.pick(request);
    if (served === undefined)
      return this.#finish({ request, served: none, startMs, requestBytes: message.length }, refused);
    const pending: Pending = { request, served, startMs, requestBytes: message.length };
    try {
      const answer = served.handler(request);
      return answer instanceof Promise ? this.#later(pending, answer) : this.#finish(pending, answer, true);
    } catch (error) {
      return this.#finish(pending, this.#panic(query, error));
    }
  };

  async #later(pending: Pending, answer: Promise<Answer>): Promise<Response> {
    if (this.#waiting >= waitingMax) {
      this.#options.counters.overloads++;
      answer.catch((error: unknown) => this.#panic(pending.request.query, error));
      return this.#finish(pending, failed);
    }
    this.#waiting++;
    try {
      return this.#finish(pending, await answer);
    } catch (error) {
      return this.#finish(pending, this.#panic(pending.request.query, error));
    } finally {
      this.#waiting--;
    }
  }

  /** `isAtOnce`: nothing has changed since the chain was asked. */
  #finish({ request, served, startMs, requestBytes }: Pending, answer: Answer, isAtOnce = false): Response {
    if (answer.rcode < 0) return undefined;
    const { query, proto } = request;
    const limit = proto === "udp" ? Math.min(udpLimit(query), served.payloadBytesMax) : messageBytesMax;
    const response = encodeResponse(query, answer, limit);
    const more = answer.more?.map((each) => encodeResponse(query, each, limit)) ?? [];
    const seen = {
      proto,
      isIPv6: request.client.includes(":"),
      type: query.type,
      rcode: answer.rcode,
      plugin: answer.plugin,
      dnssecOK: query.dnssecOK,
      requestBytes,
      responseBytes: more.reduce((sum, { length }) => sum + length, response.length),
      seconds: (this.#options.clock.monotonicMs() - startMs) / 1000,
    };
    served.metrics.observe(seen);
    if (isAtOnce && answer.validity !== undefined && proto === "udp" && !this.#router.hasViews)
      this.prebuilt.offer({ request, served, answer, response, seen });
    return more.length === 0 ? response : [response, ...more];
  }

  #reject(rejected: Exclude<ReturnType<typeof parseQuery>, Query>, proto: Proto, requestBytes: number): Response {
    const response = rejected.kind === "reject" ? encodeReject(rejected) : undefined;
    const responseBytes = response?.length ?? 0;
    const rcode = rejected.kind === "reject" ? rejected.rcode : rcodes.formErr;
    const sizes = { requestBytes, responseBytes, seconds: 0 };
    this.#junk.observe({ proto, isIPv6: false, type: 0, rcode, plugin: "", dnssecOK: false, ...sizes });
    return response;
  }

  /** A bug in a plugin costs its query, not the process. */
  #panic(query: Query, error: unknown): Answer {
    this.#options.counters.panics++;
    const fields = { name: toText(query.name), type: query.type, error: messageOf(error) };
    this.#options.log.error("Cannot answer", fields);
    return failed;
  }
}

/** Without what is of the socket: both families have IPv4 written as IPv6, link-local addresses name an interface. */
function clientOf(address: string): string {
  if (address.startsWith("::ffff:")) return address.slice(7);
  const zone = address.indexOf("%");
  return zone < 0 ? address : address.slice(0, zone);
}

/** Counts what is in no zone. */
const none: Served = {
  zone: ".",
  handler: () => refused,
  metrics: new SiteMetrics("", "."),
  payloadBytesMax: messageBytesMax,
  accepts: undefined,
  repeat: undefined,
};
