/**
 * What a route answers itself: redirects and direct responses. Pure but for bodies that stand in files.
 *
 *   Reader of a RedirectAction or DirectResponseAction ─▶ readRedirect(), readDirect() ─▶ route/plan.ts
 *
 * Source: envoy.config.route.v3.RedirectAction, DirectResponseAction.
 */
import type { Redirect, RouteTarget } from "../route/types.ts";
import { readDataSource } from "./data-source.ts";
import type { CompiledMatch } from "./match.ts";
import type { Reader } from "./reader.ts";
import { readPathRewrite } from "./rewrite.ts";

const redirectStatuses: Readonly<Record<string, number>> = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
};

export function readRedirect(reader: Reader, match: CompiledMatch): Redirect {
  const isHTTPS = reader.flag("https_redirect") ?? false;
  const scheme = reader.text("scheme_redirect") || (isHTTPS ? "https" : undefined);
  const port = reader.integer("port_redirect", 0) ?? 0;
  const path = reader.text("path_redirect") || undefined;
  const rewrite = readPathRewrite(reader, match);
  if (path !== undefined && rewrite !== undefined)
    throw reader.bad("path_redirect", "it does not go with prefix_rewrite or regex_rewrite");
  const code = reader.oneOf("response_code", Object.keys(redirectStatuses)) ?? "MOVED_PERMANENTLY";
  const redirect: Redirect = {
    status: redirectStatuses[code]!,
    scheme,
    host: reader.text("host_redirect") || undefined,
    port: port === 0 ? undefined : port,
    path,
    rewrite,
    stripsQuery: reader.flag("strip_query") ?? false,
  };
  reader.done();
  return redirect;
}

/** `bytesMax`: longest body. */
export function readDirect(reader: Reader, bytesMax: number): RouteTarget {
  const status = reader.integer("status", 200) ?? 0;
  if (status < 200 || status > 599) throw reader.bad("status", "it is not between 200 and 599");
  const body = readDataSource(reader, "body");
  reader.done();
  if (Buffer.byteLength(body) > bytesMax) throw reader.bad("body", `it is longer than ${bytesMax} bytes`);
  return { kind: "direct", status, body };
}
