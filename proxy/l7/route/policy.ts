/**
 * What a listener does to each request before it is routed: where it came from, how its path is written. Pure.
 *
 *   http_connection_manager (config/http.ts) ─▶ RequestPolicy ─▶ prepareHead() ─▶ head to route, or an answer
 *
 * Source: Envoy, "HTTP header manipulation" and "HTTP header sanitizing"; HttpConnectionManager's fields of these names.
 */
import { isIP } from "node:net";
import type { FormatConnection } from "../accesslog/types.ts";
import { joinedHeaderValue, withHeader } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import { keptWhenListed } from "../http1/write.ts";
import { believedEntry } from "./client-address.ts";
import { HeadEditor } from "./head-editor.ts";
import type { SchemeRule } from "./scheme.ts";
import { canonicalPath, mergeSlashes, unescapeSlashes } from "./path.ts";

export interface RequestPolicy extends SchemeRule {
  readonly appendsForwardedFor: boolean;
  readonly appendsForwardedPort: boolean;
  /** An x-request-id from outside stays; else a request gets another one at the edge. */
  readonly preservesRequestId: boolean;
  /** Set on requests and responses; empty: none. */
  readonly via: string;
  readonly normalizesPath: boolean;
  readonly mergesSlashes: boolean;
  /** What happens to %2F and %5C in paths. */
  readonly escapedSlashes: "keep" | "reject" | "redirect" | "forward";
  /** The port that is taken off Host: none, the listener's own, or any. */
  readonly stripsPort: "none" | "matching" | "any";
  readonly stripsTrailingDot: boolean;
  readonly underscores: "allow" | "reject" | "drop";
  /** Undefined: the upstream's Server header passes as it came. */
  readonly server: { readonly name: string; readonly mode: "overwrite" | "appendIfAbsent" } | undefined;
  /** Upgrades allowed or refused by lower-case name; others as `allowsAnyUpgrade`, which no configuration asks for. */
  readonly upgrades: ReadonlyMap<string, boolean>;
  readonly allowsAnyUpgrade: boolean;
  /** x-forwarded-client-cert passes as it came, instead of being removed. */
  readonly forwardsClientCert: boolean;
  /** From where a request is internal: its x-envoy-… headers then count. */
  readonly isInternal: ((address: string) => boolean) | undefined;
  /** Nothing of the above is asked for that changes a request: the shortest way through prepareHead(). */
  readonly isPlain: boolean;
}

export const requestPolicyDefault: RequestPolicy = {
  usesRemoteAddress: false,
  trustedHops: 0,
  appendsForwardedFor: true,
  appendsForwardedPort: false,
  preservesRequestId: false,
  via: "",
  normalizesPath: false,
  mergesSlashes: false,
  escapedSlashes: "keep",
  stripsPort: "none",
  stripsTrailingDot: false,
  underscores: "allow",
  scheme: undefined,
  server: undefined,
  upgrades: new Map(),
  allowsAnyUpgrade: true,
  forwardsClientCert: false,
  isInternal: undefined,
  isPlain: true,
};

export type Prepared =
  | { readonly kind: "head"; readonly head: RequestHead }
  | { readonly kind: "refuse"; readonly status: number; readonly details: string; readonly sentence: string }
  | { readonly kind: "redirect"; readonly target: string };

/** Headers by which an internal client steers the proxy; of anybody else they are dropped. */
const steering = [
  "x-envoy-retriable-status-codes",
  "x-envoy-retriable-header-names",
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-max-retries",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-upstream-stream-duration-ms",
  "x-envoy-force-trace",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-ip-tags",
  "x-envoy-original-url",
  "x-envoy-hedge-on-per-try-timeout",
] as const;

/** Of those that only a request from the edge of the mesh loses. */
const edgeOnly = [
  "x-envoy-decorator-operation",
  "x-envoy-downstream-service-cluster",
  "x-envoy-downstream-service-node",
  // Routes set them anew.
  "x-envoy-original-path",
  "x-envoy-original-host",
];

/** Only proxies in front can vouch for it. */
const clientCert = "x-forwarded-client-cert";

/** What brought a head, and what names it. */
export interface Arrival {
  readonly connection: FormatConnection;
  /** Makes an x-request-id; undefined: requests get none. */
  readonly newRequestId: (() => string) | undefined;
}

/** The head as filters and routes see it. */
export function prepareHead(received: RequestHead, policy: RequestPolicy, arrival: Arrival): Prepared {
  const { connection } = arrival;
  const head = received.hop.listed.length === 0 ? received : withoutListed(received);
  if (policy.isPlain) {
    const { keys } = head.headers;
    let hasProto = false;
    let isClean = true;
    for (const key of keys) {
      if (!key.startsWith("x-")) continue;
      if (key === "x-forwarded-proto") hasProto = true;
      else if (key.startsWith("x-envoy-") || (key === clientCert && !policy.forwardsClientCert)) isClean = false;
    }
    if (isClean) return { kind: "head", head: hasProto ? head : withProto(head, connection) };
  }
  const editor = new HeadEditor(head);
  const refused = applyUnderscores(editor, policy.underscores);
  if (refused !== undefined) return refused;
  const path = normalizeTarget(head.target, policy);
  if (path.kind !== "target") return path;
  if (path.target !== head.target) editor.setTarget(path.target);
  // Without its port it would be no target.
  if (head.method !== "CONNECT") stripHost(editor, policy, connection);
  setOrigin(editor, policy, arrival);
  if (!policy.forwardsClientCert) editor.remove(clientCert);
  if (policy.via !== "") appendValue(editor, "Via", policy.via, ", ");
  return { kind: "head", head: editor.finish() };
}

/** What a downstream lists in Connection is its own: listed, it cannot take away what is set here. */
function withoutListed(head: RequestHead): RequestHead {
  const editor = new HeadEditor(head);
  for (const key of head.hop.listed) if (!keptWhenListed.has(key)) editor.remove(key);
  return { ...editor.finish(), hop: { ...head.hop, listed: [] } };
}

/** What the editor would do, at a third of its cost: this is every request's way. */
function withProto(head: RequestHead, { isTLS }: FormatConnection): RequestHead {
  const scheme = isTLS === true ? "https" : "http";
  const headers = withHeader(head.headers, "X-Forwarded-Proto", "x-forwarded-proto", scheme);
  const { method, target, path, query, host, protocol, hop, framing } = head;
  return { method, target, path, query, host, protocol, headers, hop, framing };
}

function applyUnderscores(editor: HeadEditor, action: RequestPolicy["underscores"]): Prepared | undefined {
  if (action === "allow") return undefined;
  const found = editor.headers.keys.filter((key) => key.includes("_"));
  if (found.length === 0) return undefined;
  if (action === "reject") {
    const sentence = "Cannot serve request: a header name has an underscore";
    return { kind: "refuse", status: 400, details: "http1.unexpected_underscore", sentence };
  }
  for (const key of new Set(found)) editor.remove(key);
  return undefined;
}

type Target = { readonly kind: "target"; readonly target: string } | Exclude<Prepared, { kind: "head" }>;

function normalizeTarget(received: string, policy: RequestPolicy): Target {
  const keeps = !policy.normalizesPath && !policy.mergesSlashes && policy.escapedSlashes === "keep";
  if (keeps || !received.startsWith("/")) return { kind: "target", target: received };
  const mark = received.indexOf("?");
  let path: string | undefined = mark < 0 ? received : received.slice(0, mark);
  const query = mark < 0 ? "" : received.slice(mark);
  let redirects = false;
  if (policy.escapedSlashes !== "keep") {
    const unescaped = unescapeSlashes(path);
    if (unescaped !== path) {
      if (policy.escapedSlashes === "reject") return badPath();
      redirects = policy.escapedSlashes === "redirect";
      path = unescaped;
    }
  }
  if (policy.normalizesPath) path = canonicalPath(path);
  if (path === undefined) return badPath();
  if (policy.mergesSlashes) path = mergeSlashes(path);
  return redirects ? { kind: "redirect", target: path + query } : { kind: "target", target: path + query };
}

function badPath(): Target {
  const sentence = "Cannot serve request: its path cannot be normalised";
  return { kind: "refuse", status: 400, details: "path_normalization_failed", sentence };
}

function stripHost(editor: HeadEditor, policy: RequestPolicy, connection: FormatConnection): void {
  const host = editor.get("host") ?? editor.host;
  let stripped = host;
  const colon = host.lastIndexOf(":");
  const port = colon < 0 || host.endsWith("]") ? "" : host.slice(colon + 1);
  const isOwn = port !== "" && Number(port) === connection.localPort;
  if (port !== "" && (policy.stripsPort === "any" || (policy.stripsPort === "matching" && isOwn)))
    stripped = host.slice(0, colon);
  if (policy.stripsTrailingDot) stripped = stripped.replace(/\.(?=$|:\d+$)/, "");
  if (stripped !== host) editor.setHost(stripped);
}

/** x-forwarded-for, x-forwarded-proto, and what an internal client may say. */
function setOrigin(editor: HeadEditor, policy: RequestPolicy, arrival: Arrival): void {
  const { connection } = arrival;
  const scheme = connection.isTLS === true ? "https" : "http";
  const received = joinedHeaderValue(editor.headers, "x-forwarded-for");
  if (policy.usesRemoteAddress) {
    if (policy.appendsForwardedFor && connection.remoteAddress !== "")
      appendValue(editor, "X-Forwarded-For", connection.remoteAddress);
    if (policy.trustedHops === 0) editor.set("X-Forwarded-Proto", scheme);
  }
  if (policy.scheme !== undefined) editor.set("X-Forwarded-Proto", policy.scheme);
  else if (!editor.has("x-forwarded-proto")) editor.append("X-Forwarded-Proto", scheme);
  const isPortBelieved = !policy.usesRemoteAddress || policy.trustedHops > 0;
  const tellsPort = policy.appendsForwardedPort && !(isPortBelieved && editor.has("x-forwarded-port"));
  if (tellsPort && connection.localPort !== undefined) editor.set("X-Forwarded-Port", String(connection.localPort));
  sanitize(editor, policy, { received, arrival });
}

function sanitize(
  editor: HeadEditor,
  policy: RequestPolicy,
  { received, arrival }: { received: string | undefined; arrival: Arrival },
): void {
  const { connection, newRequestId } = arrival;
  const address = originOf(policy, received, connection);
  const isInternal = address !== undefined && isIP(address) !== 0 && policy.isInternal?.(address) === true;
  if (isInternal) return editor.set("x-envoy-internal", "true");
  editor.remove("x-envoy-internal");
  if (policy.usesRemoteAddress) {
    editor.set("x-envoy-external-address", believedEntry(received, policy) ?? connection.remoteAddress);
    if (!policy.preservesRequestId) replaceRequestId(editor, newRequestId);
  }
  if (!editor.headers.keys.some((key) => key.startsWith("x-envoy-"))) return;
  for (const key of steering) editor.remove(key);
  if (policy.usesRemoteAddress) for (const key of edgeOnly) editor.remove(key);
}

/** An id that comes from outside could make one request look like another. */
function replaceRequestId(editor: HeadEditor, newRequestId: Arrival["newRequestId"]): void {
  if (newRequestId === undefined) editor.remove("x-request-id");
  else editor.set("x-request-id", newRequestId());
}

/**
 * The one address that a request may have come from; undefined: several, or whoever says so is not believed. Where the
 * connection's own address counts, anybody could write the list.
 */
function originOf(
  { usesRemoteAddress, trustedHops }: RequestPolicy,
  received: string | undefined,
  { remoteAddress }: FormatConnection,
): string | undefined {
  if (usesRemoteAddress) return received === undefined ? remoteAddress : undefined;
  return trustedHops === 0 ? received?.trim() : undefined;
}

/** To the list that is there, as one line. */
function appendValue(editor: HeadEditor, name: string, value: string, separator = ","): void {
  const before = joinedHeaderValue(editor.headers, name.toLowerCase());
  editor.set(name, before === undefined || before === "" ? value : `${before}${separator}${value}`);
}
