/**
 * hash_policy → HashPolicy. Pure. Source: envoy.config.route.v3.RouteAction.HashPolicy.
 */
import type { HashPolicy } from "../route/types.ts";
import { readCookieAttributes } from "./cookie.ts";
import { readRegexRewrite } from "./match.ts";
import type { Reader } from "./reader.ts";

export function readHashPolicies(reader: Reader): readonly HashPolicy[] {
  return reader.list("hash_policy").map(readPolicy);
}

function readPolicy(reader: Reader): HashPolicy {
  const terminal = reader.flag("terminal") ?? false;
  const header = reader.object("header");
  if (header !== undefined) {
    const key = header.wantText("header_name").toLowerCase();
    const rewrite = readRegexRewrite(header, "regex_rewrite");
    header.done();
    reader.done();
    return { kind: "header", key, rewrite, terminal };
  }
  const cookie = reader.object("cookie");
  if (cookie !== undefined) {
    const policy = readCookie(cookie);
    reader.done();
    return { kind: "cookie", cookie: policy, terminal };
  }
  const query = reader.object("query_parameter");
  if (query !== undefined) {
    const name = query.wantText("name");
    query.done();
    reader.done();
    return { kind: "query", name, terminal };
  }
  const properties = reader.object("connection_properties");
  if (properties?.flag("source_ip") !== true)
    throw reader.bad("header", "no policy, wanted header, cookie, query_parameter or connection_properties.source_ip");
  properties.done();
  reader.done();
  return { kind: "sourceIP", terminal };
}

function readCookie(cookie: Reader): Extract<HashPolicy, { kind: "cookie" }>["cookie"] {
  const ttlMs = cookie.durationMs("ttl");
  const read = {
    name: cookie.wantText("name"),
    ttlSeconds: ttlMs === undefined ? undefined : Math.floor(ttlMs / 1000),
    path: cookie.text("path") ?? "",
    attributes: readCookieAttributes(cookie),
  };
  cookie.done();
  return read;
}
