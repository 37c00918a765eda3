/**
 * What a compiled route carries: where a request goes, what is changed on its way, and how long it may take.
 *
 *   config/route.ts (makes it) ─▶ CompiledRoute ─▶ plan.ts (what to do with a request) ─▶ exchange.ts (does it)
 *
 * Everything that is rare is undefined where a route does not have it, so that a plain route costs one test for each.
 * Source: envoy.config.route.v3.
 */
import type { Metadata, Template } from "../accesslog/types.ts";
import type { Headers } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import type { RateLimitRule } from "./rate-limits.ts";
import type { SmoothWeighted } from "./weight.ts";

/** What matchers may look at besides the head. */
export interface RouteInfo {
  /** The downstream connection is TLS. */
  readonly isTLS: boolean;
  /** The downstream showed a certificate, and it was verified. */
  readonly peerCertificate: "none" | "presented" | "validated";
  /** A number in [0, 1), for runtime fractions. */
  random(): number;
}

export type Predicate = (head: RequestHead, info: RouteInfo) => boolean;
export type HeadersPredicate = (headers: Headers) => boolean;
export type TextPredicate = (text: string) => boolean;

/** The conditions of retry_on. */
export type RetryCondition =
  | "5xx"
  | "gateway-error"
  | "reset"
  | "reset-before-request"
  | "connect-failure"
  | "envoy-ratelimited"
  | "retriable-4xx"
  | "refused-stream"
  | "retriable-status-codes"
  | "retriable-headers"
  | "http3-post-connect-failure"
  | "cancelled"
  | "deadline-exceeded"
  | "internal"
  | "resource-exhausted"
  | "unavailable";

/** As bits: a policy is one number, and testing it costs one AND. */
export const retryOn: Readonly<Record<RetryCondition, number>> = {
  "5xx": 0x1,
  "gateway-error": 0x2,
  reset: 0x4,
  "reset-before-request": 0x8,
  "connect-failure": 0x10,
  "envoy-ratelimited": 0x20,
  "retriable-4xx": 0x40,
  "refused-stream": 0x80,
  "retriable-status-codes": 0x100,
  "retriable-headers": 0x200,
  "http3-post-connect-failure": 0x400,
  cancelled: 0x800,
  "deadline-exceeded": 0x1000,
  internal: 0x2000,
  "resource-exhausted": 0x4000,
  unavailable: 0x8000,
};

/** The part that every try needs to know; see retry.ts. */
export interface RetryRule {
  /** Retry when no connection came about: nothing was sent. */
  readonly onConnectFailure: boolean;
  /** Retry safe methods when the connection broke before the first byte of the response. */
  readonly onReset: boolean;
  /** Tries after the first, >= 0. */
  readonly retriesMax: number;
}

/** envoy.config.route.v3.RetryPolicy */
export interface RetryPolicy extends RetryRule {
  /** Bits of `retryOn`. */
  readonly on: number;
  /** Time for one try, in ms; 0 is none. */
  readonly perTryTimeoutMs: number;
  /** Time without a byte inside a try, in ms; 0 is none. */
  readonly perTryIdleMs: number;
  /** Full jitter in [0, (2^n - 1) * baseMs), at most maxMs. Default 25 ms, ten times the base. */
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  /** Wait for what the response's header says instead, at most maxMs. */
  readonly rateLimited: RateLimitedBackoff | undefined;
  /** Of retriable-status-codes. */
  readonly statuses: readonly number[];
  /** Of retriable-headers: any of them in the response. */
  readonly responseHeaders: readonly HeadersPredicate[];
  /** When there are any: only requests that match one of them are retried. */
  readonly requestHeaders: readonly Predicate[];
  /** Prefer endpoints that were not tried (the previous_hosts predicate), where a hash chooses; others always do. */
  readonly retriesOtherHosts: boolean;
  /** Picks made to find such an endpoint, >= 1. */
  readonly hostSelectionMax: number;
}

export interface RateLimitedBackoff {
  readonly headers: readonly { readonly key: string; readonly format: "seconds" | "unixTimestamp" }[];
  readonly maxMs: number;
}

export type RoutingPriority = "default" | "high";

/** The share of requests to which something applies: `numerator` of `denominator`. */
export interface Fraction {
  readonly numerator: number;
  readonly denominator: number;
}

export interface Mirror {
  /** Its name, or the request header that has its name. */
  readonly cluster: string | undefined;
  readonly clusterHeader: string | undefined;
  /** Undefined: all. */
  readonly fraction: Fraction | undefined;
  /** The shadow's host gets "-shadow" behind its name. */
  readonly appendsShadow: boolean;
}

export interface CookieHash {
  readonly name: string;
  /** A cookie is made for who has none, in s; undefined: none is made; 0: a session cookie. */
  readonly ttlSeconds: number | undefined;
  readonly path: string;
  readonly attributes: readonly (readonly [name: string, value: string])[];
}

export type HashPolicy =
  | {
      readonly kind: "header";
      readonly key: string;
      readonly rewrite: RegexRewrite | undefined;
      readonly terminal: boolean;
    }
  | { readonly kind: "cookie"; readonly cookie: CookieHash; readonly terminal: boolean }
  | { readonly kind: "sourceIP"; readonly terminal: boolean }
  | { readonly kind: "query"; readonly name: string; readonly terminal: boolean };

export interface RegexRewrite {
  readonly regex: RegExp;
  /** In the form of String.replace: `$1`, and `$$` for a dollar. */
  readonly substitution: string;
}

/** A list of texts that are equal is a CORS origin list; see cors.ts. */
export interface CorsPolicy {
  readonly origins: readonly TextPredicate[];
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean;
  readonly allowPrivateNetwork: boolean;
  /** Preflights of other origins are forwarded; else they are answered without CORS headers. */
  readonly forwardsOthers: boolean;
  readonly fraction: Fraction | undefined;
}

export type PathRewrite =
  | { readonly kind: "prefix"; readonly matched: MatchedPath; readonly to: string }
  | { readonly kind: "regex"; readonly rewrite: RegexRewrite }
  | { readonly kind: "template"; readonly regex: RegExp; readonly substitution: string };

/** The part of the path that the route matched, which a prefix rewrite replaces. */
export type MatchedPath =
  | { readonly kind: "prefix"; readonly length: number }
  /** Exact and regular expressions: all of it. */
  | { readonly kind: "whole" };

export type HostRewrite =
  | { readonly kind: "literal"; readonly host: string }
  /** Of a weighted cluster's entry. */
  | { readonly kind: "entry"; readonly host: string }
  /** The host name of the endpoint that is picked. */
  | { readonly kind: "endpoint" }
  | { readonly kind: "header"; readonly key: string }
  | { readonly kind: "pathRegex"; readonly rewrite: RegexRewrite };

export type AppendAction = "append" | "addIfAbsent" | "overwrite" | "overwriteIfExists";

export interface HeaderAdd {
  readonly name: string;
  /** Lower case. */
  readonly key: string;
  readonly value: Template;
  readonly action: AppendAction;
  readonly keepsEmpty: boolean;
}

/** Of one level; removing comes before adding. */
export interface HeaderMutations {
  readonly removes: readonly string[];
  readonly adds: readonly HeaderAdd[];
}

/** What a route changes of requests and responses. */
export interface RouteChanges {
  readonly path: PathRewrite | undefined;
  readonly host: HostRewrite | undefined;
  readonly appendsForwardedHost: boolean;
  /** From the most specific level on (weighted cluster, route, virtual host, table), or the other way round if asked for. */
  readonly request: readonly HeaderMutations[];
  readonly response: readonly HeaderMutations[];
  /** x-envoy-attempt-count to the upstream, to the downstream. */
  readonly countsAttempts: boolean;
  readonly tellsAttempts: boolean;
  /** x-envoy-is-timeout-retry to the upstream. */
  readonly tellsTimeoutRetry: boolean;
}

export interface WeightedEntry {
  /** Undefined: `clusterHeader` has it. */
  readonly name: string | undefined;
  readonly clusterHeader: string | undefined;
  /** With those of the route and its hosts. */
  readonly changes: RouteChanges | undefined;
  readonly metadataMatch: MetadataMatch | undefined;
  readonly perFilter: PerFilter;
}

/** Wanted of endpoints: key → JSON text, of filter_metadata "envoy.lb". */
export type MetadataMatch = ReadonlyMap<string, string>;

/** Settings by the name of the filter, the most specific level's. */
export type PerFilter = ReadonlyMap<string, unknown>;

export interface Redirect {
  readonly status: number;
  readonly scheme: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly path: string | undefined;
  readonly rewrite: PathRewrite | undefined;
  readonly stripsQuery: boolean;
}

export type RouteTarget =
  | { readonly kind: "cluster"; readonly name: string }
  | {
      readonly kind: "weighted";
      readonly names: readonly string[];
      readonly weights: SmoothWeighted;
      readonly entries: readonly WeightedEntry[];
      /** A request header that is the random value, instead of the exact turns. */
      readonly randomHeader: string | undefined;
    }
  | { readonly kind: "clusterHeader"; readonly key: string }
  | { readonly kind: "direct"; readonly status: number; readonly body: string }
  | { readonly kind: "redirect"; readonly redirect: Redirect };

/** The path matcher of a route, as the index of its virtual host needs it. */
export type PathKey =
  | { readonly kind: "exact"; readonly path: string }
  /** `isSeparated`: matches the prefix alone or with a "/" behind it. */
  | { readonly kind: "prefix"; readonly prefix: string; readonly isSeparated: boolean }
  /** Matches CONNECT, and nothing else does. */
  | { readonly kind: "connect" }
  | { readonly kind: "other" };

/** A header that a request must have, with one value exactly: as the index needs it, the matcher says so too. */
export interface HeaderKey {
  /** In lower case; no pseudo header, and not Host. */
  readonly key: string;
  readonly value: string;
}

export interface CompiledRoute {
  readonly name: string;
  /** The virtual host's, for statistics and logs. */
  readonly hostName: string;
  readonly metadata?: Metadata | undefined;
  readonly hostMetadata?: Metadata | undefined;
  readonly pathKey: PathKey;
  /** Undefined where the route asks for no exact header. */
  readonly headerKey: HeaderKey | undefined;
  /** The whole match, path included. */
  readonly matches: Predicate;
  readonly target: RouteTarget;
  readonly priority: RoutingPriority;
  /** Whole request with retries, in ms; 0 is none. */
  readonly timeoutMs: number;
  /** Time without a byte inside a request, in ms; 0 is none; undefined: the listener's. */
  readonly idleMs: number | undefined;
  /** Time from the end of the head to the end of the stream, in ms; 0 is none; undefined: the listener's. */
  readonly maxStreamMs: number | undefined;
  /** grpc-timeout is used instead of `timeoutMs`, at most `maxMs` (0: any), less `offsetMs`. */
  readonly grpcTimeout: { readonly maxMs: number; readonly offsetMs: number } | undefined;
  readonly retry: RetryPolicy | undefined;
  /** Another try is made when a try times out, the first one goes on. */
  readonly hedgesOnTimeout: boolean;
  readonly changes: RouteChanges | undefined;
  readonly hashPolicies: readonly HashPolicy[];
  readonly mirrors: readonly Mirror[];
  readonly metadataMatch: MetadataMatch | undefined;
  /** Upgrades that this route allows or refuses, by lower-case name; those of the listener otherwise. */
  readonly upgrades: ReadonlyMap<string, boolean>;
  /** A tunnel that CONNECT asks for is TCP to the cluster; else it is asked of the upstream. */
  readonly endsConnect: boolean;
  readonly perFilter: PerFilter;
  /** Those of its virtual host included where they count. */
  readonly rateLimits: readonly RateLimitRule[];
  /** Most bytes of a request's body held for another try or a filter; undefined: the listener's. */
  readonly bufferBytesMax: number | undefined;
  /** The status when its cluster does not exist. Undefined: 503, and the route is held back until the cluster comes. */
  readonly unknownCluster: number | undefined;
}
