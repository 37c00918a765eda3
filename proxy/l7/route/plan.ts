/**
 * What is to be done with a request: answer it here, or send it (as changed) to a cluster. Pure but for weights.
 *
 *   RequestHead ─▶ prepareHead() ─▶ RouteTable.find() ─▶ planRequest() ─▶ exchange.ts
 *
 * Invariant: heads come out as the very same objects where nothing changes them.
 * Source: Envoy's router filter, and its CORS filter in front of it.
 */
import type { FormatCluster, FormatConnection, FormatRecord } from "../accesslog/types.ts";
import { copyRecord } from "../accesslog/record.ts";
import { fieldValue } from "../accesslog/field.ts";
import { headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import { type ResponseFlag } from "../types.ts";
import { type HeaderPairs, decideCors } from "./cors.ts";
import { changeHead } from "./change-head.ts";
import { isHit } from "./match.ts";
import { type RequestPolicy, prepareHead } from "./policy.ts";
import { redirectLocation } from "./rewrite.ts";
import type { RouteTable } from "./table.ts";
import { requestTimeouts, withoutSteering } from "./timeouts.ts";
import type {
  CompiledRoute,
  CorsPolicy,
  Mirror,
  MetadataMatch,
  PerFilter,
  RouteChanges,
  RouteInfo,
  WeightedEntry,
} from "./types.ts";

/** The filter of this name looks at `PerFilter` for a CorsPolicy. */
export const corsFilterName = "envoy.filters.http.cors";

export interface PlanInput {
  readonly policy: RequestPolicy;
  readonly connection: FormatConnection & { readonly peerCertificate?: RouteInfo["peerCertificate"] | undefined };
  /** Makes an x-request-id; undefined: requests get none. */
  readonly newRequestId: (() => string) | undefined;
  readonly table: RouteTable | undefined;
  /** The name of the chain's CORS filter; undefined: it has none. */
  readonly corsFilter: string | undefined;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** prepareHead() was done: filters were shown what it gave. */
  readonly isPrepared: boolean;
  /** It will be sent on, so that it takes a turn of its weighted clusters. */
  readonly takesTurn: boolean;
  /** Finds the cluster of a name, for header values with operators. */
  readonly clusters?: { cluster(name: string): FormatCluster | undefined };
  /** For header values with operators. */
  readonly record: FormatRecord;
}

export interface AnswerPlan {
  readonly kind: "answer";
  readonly head: RequestHead;
  readonly route: CompiledRoute | undefined;
  readonly status: number;
  readonly flag: ResponseFlag;
  readonly details: string;
  /** As it is to be sent. Answers with a flag give a sentence for x-wherry-error instead. */
  readonly body: string;
  readonly headers: HeaderPairs;
  readonly changes: RouteChanges | undefined;
  readonly cors: HeaderPairs;
}

export interface ForwardPlan {
  readonly kind: "forward";
  /** What is sent: with every change that does not depend on the endpoint. */
  readonly head: RequestHead;
  readonly route: CompiledRoute;
  readonly cluster: string;
  readonly changes: RouteChanges | undefined;
  readonly metadataMatch: MetadataMatch | undefined;
  readonly perFilter: PerFilter;
  readonly mirrors: readonly ShadowTarget[];
  readonly timeoutMs: number;
  readonly perTryTimeoutMs: number;
  readonly retriesMax: number;
  readonly cors: HeaderPairs;
}

/** A cluster that gets a copy of the request. */
export interface ShadowTarget {
  readonly cluster: string;
  /** The copy's host has "-shadow" behind its name. */
  readonly appendsShadow: boolean;
}

export type Plan = AnswerPlan | ForwardPlan;

const noHeaders: HeaderPairs = [];

export function planRequest(received: RequestHead, input: PlanInput): Plan {
  let head = received;
  if (!input.isPrepared) {
    const prepared = prepareHead(received, input.policy, input);
    if (prepared.kind !== "head") return answerPrepared(received, prepared);
    head = prepared.head;
  }
  const route = input.table?.find(head, routeInfoOf(input));
  if (route === undefined) {
    const sentence = "Cannot route request: no route matches its host and path";
    return answer(head, undefined, { status: 404, flag: "NR", details: "route_not_found", body: sentence });
  }
  return planRoute(head, route, input);
}

/** What matchers may look at besides the head. */
export function routeInfoOf({ connection, random }: Pick<PlanInput, "connection" | "random">): RouteInfo {
  return { isTLS: connection.isTLS === true, peerCertificate: connection.peerCertificate ?? "none", random };
}

function planRoute(head: RequestHead, route: CompiledRoute, input: PlanInput): Plan {
  const cors = corsOf(head, route, input);
  if (cors.kind === "preflight")
    return { ...answer(head, route, { status: 200, details: "cors_response" }), headers: cors.headers };
  const corsHeaders = cors.kind === "actual" ? cors.headers : noHeaders;
  const { target } = route;
  switch (target.kind) {
    case "direct":
      return {
        ...answer(head, route, { status: target.status, details: "direct_response", body: target.body }),
        cors: corsHeaders,
      };
    case "redirect": {
      const location = redirectLocation(head, target.redirect, input.connection.isTLS === true);
      const made = answer(head, route, { status: target.redirect.status, details: "direct_response" });
      return { ...made, headers: [["location", location]], cors: corsHeaders };
    }
    case "cluster":
      return forward(head, route, { name: target.name, entry: undefined, input, cors: corsHeaders });
    case "weighted": {
      const entry = target.entries[pickEntry(head, target, input)]!;
      const name = entry.name ?? fieldValue(head, entry.clusterHeader ?? "") ?? "";
      return forward(head, route, { name, entry, input, cors: corsHeaders });
    }
    case "clusterHeader":
      return forward(head, route, {
        name: fieldValue(head, target.key) ?? "",
        entry: undefined,
        input,
        cors: corsHeaders,
      });
  }
}

/** The index of the entry whose turn it is, or that the request's header says. */
function pickEntry(
  head: RequestHead,
  { weights, randomHeader }: Extract<CompiledRoute["target"], { kind: "weighted" }>,
  { random, takesTurn }: PlanInput,
): number {
  if (randomHeader === undefined && takesTurn) return weights.pick();
  const text = randomHeader === undefined ? undefined : headerValue(head.headers, randomHeader);
  const value = text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : Math.floor(random() * 2 ** 32);
  return weights.at(value);
}

function corsOf(head: RequestHead, route: CompiledRoute, input: PlanInput): ReturnType<typeof decideCors> {
  if (input.corsFilter === undefined) return { kind: "none" };
  const policy = route.perFilter.get(input.corsFilter) as CorsPolicy | undefined;
  return policy === undefined ? { kind: "none" } : decideCors(policy, head, input.random());
}

interface ForwardInput {
  readonly name: string;
  readonly entry: WeightedEntry | undefined;
  readonly input: PlanInput;
  readonly cors: HeaderPairs;
}

function forward(received: RequestHead, route: CompiledRoute, { name, entry, input, cors }: ForwardInput): Plan {
  const changes = entry === undefined ? route.changes : entry.changes;
  const refusal = refuseUpgrade(received, route, input.policy);
  if (refusal !== undefined) return { ...answer(received, route, refusal), cors };
  const isSteered = input.policy.isInternal !== undefined;
  const { timeoutMs, perTryTimeoutMs, retriesMax } = requestTimeouts(received, route, isSteered);
  const head = isSteered ? withoutSteering(received) : received;
  return {
    kind: "forward",
    head:
      changes === undefined
        ? head
        : changeHead(head, changes, {
            ...copyRecord(input.record),
            ...namesOf(route, input.clusters?.cluster(name) ?? { name }),
          }),
    route,
    cluster: name,
    changes,
    metadataMatch: entry?.metadataMatch ?? route.metadataMatch,
    perFilter: entry === undefined || entry.perFilter.size === 0 ? route.perFilter : entry.perFilter,
    mirrors:
      route.mirrors.length === 0 || head.method === "CONNECT"
        ? noShadows
        : mirrorsOf(head, route.mirrors, input.random),
    timeoutMs,
    perTryTimeoutMs,
    retriesMax,
    cors,
  };
}

const noShadows: readonly ShadowTarget[] = [];

function mirrorsOf(head: RequestHead, mirrors: readonly Mirror[], random: () => number): readonly ShadowTarget[] {
  return mirrors
    .filter(({ fraction }) => fraction === undefined || isHit(fraction, random()))
    .map(({ cluster, clusterHeader, appendsShadow }) => ({
      cluster: cluster ?? fieldValue(head, clusterHeader ?? "") ?? "",
      appendsShadow,
    }))
    .filter(({ cluster }) => cluster !== "");
}

function refuseUpgrade(head: RequestHead, route: CompiledRoute, policy: RequestPolicy): AnswerParts | undefined {
  if (head.method === "CONNECT") {
    const isAllowed = route.upgrades.get("connect") ?? policy.upgrades.get("connect") ?? false;
    const body = "Cannot open tunnel: neither the route nor its listener allows CONNECT";
    return isAllowed ? undefined : { status: 403, details: "upgrade_failed", body };
  }
  const wanted = head.hop.upgrade?.toLowerCase();
  if (wanted === undefined || wanted.includes("h2c")) return undefined;
  const isAllowed = route.upgrades.get(wanted) ?? policy.upgrades.get(wanted) ?? policy.allowsAnyUpgrade;
  if (isAllowed) return undefined;
  const body = "Cannot forward upgrade: neither the route nor its listener allows it";
  return { status: 403, details: "upgrade_failed", body };
}

/** What of the route a header's value may name before there is an upstream. */
function namesOf(route: CompiledRoute, cluster: FormatCluster): Partial<FormatRecord> {
  const { name: routeName, hostName: virtualHostName } = route;
  return { routeName, virtualHostName, route, cluster, attempts: 1 };
}

interface AnswerParts {
  readonly status: number;
  readonly details: string;
  readonly flag?: ResponseFlag;
  readonly body?: string;
}

function answer(head: RequestHead, route: CompiledRoute | undefined, parts: AnswerParts): AnswerPlan {
  const { status, details, flag = "-", body = "" } = parts;
  return {
    kind: "answer",
    head,
    route,
    status,
    flag,
    details,
    body,
    headers: noHeaders,
    changes: route?.changes,
    cors: noHeaders,
  };
}

function answerPrepared(
  head: RequestHead,
  prepared: Exclude<ReturnType<typeof prepareHead>, { kind: "head" }>,
): AnswerPlan {
  if (prepared.kind === "redirect") {
    const made = answer(head, undefined, { status: 307, details: "path_normalization_failed" });
    return { ...made, headers: [["location", prepared.target]] };
  }
  const { status, details, sentence } = prepared;
  return answer(head, undefined, { status, details, flag: "DPE", body: sentence });
}
