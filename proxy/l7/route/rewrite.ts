/**
 * Paths, hosts and redirects of a route. Pure.
 *
 *   CompiledRoute + head ─▶ rewriteTarget(), rewriteHost(), redirectLocation() ─▶ plan.ts
 *
 * Source: envoy.config.route.v3.RouteAction, RedirectAction.
 */
import type { RequestHead } from "../http1/request.ts";
import { fieldValue } from "../accesslog/field.ts";
import { schemeOf } from "./scheme.ts";
import type { HostRewrite, PathRewrite, Redirect, RegexRewrite } from "./types.ts";

/** The target with its path rewritten; the query stays. */
export function rewriteTarget(target: string, rewrite: PathRewrite): string {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark);
  return rewritePath(path, rewrite) + query;
}

function rewritePath(path: string, rewrite: PathRewrite): string {
  switch (rewrite.kind) {
    case "prefix":
      return rewrite.matched.kind === "whole" ? rewrite.to : rewrite.to + path.slice(rewrite.matched.length);
    case "regex":
      return applyRegex(path, rewrite.rewrite);
    case "template":
      return path.replace(rewrite.regex, rewrite.substitution);
  }
}

export function applyRegex(text: string, { regex, substitution }: RegexRewrite): string {
  return text.replace(regex, substitution);
}

/** The host to send, or undefined when it stays or is the endpoint's own. */
export function rewriteHost(head: RequestHead, rewrite: HostRewrite): string | undefined {
  switch (rewrite.kind) {
    case "literal":
    case "entry":
      return rewrite.host;
    case "endpoint":
      return undefined;
    case "header":
      return fieldValue(head, rewrite.key);
    case "pathRegex":
      return applyRegex(head.path, rewrite.rewrite);
  }
}

/** The Location of a redirect. */
export function redirectLocation(head: RequestHead, redirect: Redirect, isTLS: boolean): string {
  const scheme = redirect.scheme ?? schemeOf(head.headers, isTLS);
  return `${scheme}://${redirectAuthority(head, redirect, scheme)}${redirectTarget(head, redirect)}`;
}

function redirectAuthority(head: RequestHead, redirect: Redirect, scheme: string): string {
  const { name, port } = splitAuthority(fieldValue(head, "host") ?? "");
  const host = redirect.host ?? name;
  if (redirect.port !== undefined) return `${host}:${redirect.port}`;
  if (redirect.host !== undefined) return host;
  // The default port of the scheme that was is left out when the scheme changes; any other stays.
  const isDefault = redirect.scheme !== undefined && port === (scheme === "https" ? "80" : "443");
  return port === "" || isDefault ? host : `${host}:${port}`;
}

function splitAuthority(authority: string): { name: string; port: string } {
  const colon = authority.lastIndexOf(":");
  if (colon < 0 || authority.endsWith("]")) return { name: authority, port: "" };
  return { name: authority.slice(0, colon), port: authority.slice(colon + 1) };
}

function redirectTarget(head: RequestHead, { path, rewrite, stripsQuery }: Redirect): string {
  const query = stripsQuery || head.query === "" ? "" : `?${head.query}`;
  if (path !== undefined) {
    // A path that brings its own query replaces the request's.
    return path.includes("?") ? path : path + query;
  }
  if (rewrite !== undefined) return rewritePath(head.path, rewrite) + query;
  return head.path + query;
}
