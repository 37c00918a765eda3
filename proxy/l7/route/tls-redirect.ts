/**
 * The route of a plain-text request to a virtual host that wants TLS: a redirect to https. Pure.
 *
 * Source: envoy.config.route.v3.VirtualHost.require_tls.
 */
import { headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import type { CompiledRoute } from "./types.ts";

export function tlsRedirect(
  head: RequestHead,
  { name, requireTLS }: { readonly name: string; readonly requireTLS: "NONE" | "EXTERNAL_ONLY" | "ALL" },
): CompiledRoute | undefined {
  if (headerValue(head.headers, "x-forwarded-proto") === "https") return undefined;
  const isInternal = headerValue(head.headers, "x-envoy-internal") === "true";
  if (requireTLS === "EXTERNAL_ONLY" && isInternal) return undefined;
  return { ...redirect, hostName: name };
}

const redirect: CompiledRoute = {
  name: "",
  hostName: "",
  pathKey: { kind: "other" },
  headerKey: undefined,
  matches: () => true,
  target: {
    kind: "redirect",
    redirect: {
      status: 301,
      scheme: "https",
      host: undefined,
      port: undefined,
      path: undefined,
      rewrite: undefined,
      stripsQuery: false,
    },
  },
  priority: "default",
  timeoutMs: 0,
  idleMs: undefined,
  maxStreamMs: undefined,
  grpcTimeout: undefined,
  retry: undefined,
  hedgesOnTimeout: false,
  changes: undefined,
  hashPolicies: [],
  mirrors: [],
  metadataMatch: undefined,
  upgrades: new Map(),
  endsConnect: false,
  perFilter: new Map(),
  rateLimits: [],
  bufferBytesMax: undefined,
  unknownCluster: undefined,
};
