/** CONNECT: ended here, forwarded, refused; and what may not come with it. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const allowed: Fields = { upgrade_configs: [{ upgrade_type: "CONNECT" }] };
const ended: Fields = { upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }] };
const connecting: Fields = { connect_matcher: {} };

const hostOf = (name: string, match: Fields, route: Fields, more: Fields = {}): Fields => ({
  name,
  domains: [`${name}.org:443`, `${name}.org`],
  routes: [{ name, match, route: { cluster: "a", ...route }, ...more }],
});

const inner = "GET /inner HTTP/1.1\r\nHost: inner\r\nConnection: close\r\n\r\n";

const to = (name: string, more: Partial<CaseRequest> = {}): CaseRequest => ({
  name,
  method: "CONNECT",
  path: `${name}.org:443`,
  host: `${name}.org:443`,
  ...more,
});
const named = (name: string, request: CaseRequest): CaseRequest => ({ ...request, name });
const status = (code: string): CaseRequest =>
  named(`forwarded, ${code}`, to("forward", { headers: [["x-answer-status", code]] }));
const tunnelled = to("end", { tunnel: inner });

const routed: CaseGroup = {
  name: "connect",
  hosts: [
    hostOf("end", connecting, ended),
    hostOf("forward", connecting, allowed),
    hostOf("off", connecting, {}),
    hostOf("disabled", connecting, { upgrade_configs: [{ upgrade_type: "CONNECT", enabled: false }] }),
    hostOf("prefix", { prefix: "/" }, allowed),
    hostOf("empty-prefix", { prefix: "" }, allowed),
    hostOf("regex", { safe_regex: { regex: ".*" } }, allowed),
    hostOf("down", connecting, { ...ended, cluster: "refused" }),
    hostOf("nobody", connecting, { ...ended, cluster: "empty" }),
    hostOf("renamed", connecting, { ...allowed, host_rewrite_literal: "other.org:80" }),
    hostOf("changed", connecting, allowed, {
      request_headers_to_add: [{ header: { key: "x-added", value: "yes" } }],
      response_headers_to_add: [{ header: { key: "x-told", value: "yes" } }],
    }),
  ],
  requests: [
    tunnelled,
    ...["forward", "off", "disabled", "prefix", "empty-prefix", "regex", "down", "nobody", "renamed", "changed"].map(
      (name) => to(name),
    ),
    named("of nobody", to("elsewhere")),
    named("GET", { ...to("end"), method: "GET", path: "/" }),
    named("without length", { ...tunnelled, headers: [["content-length", "0"]] }),
    named("with length", { ...to("end"), headers: [["content-length", "5"]], tunnel: "hello" }),
    named("in chunks", { ...to("end"), headers: [["transfer-encoding", "chunked"]], tunnel: "0\r\n\r\n" }),
    named("to a path", { ...to("end"), path: "/" }),
    named("without a port", { ...to("end"), path: "end.org", host: "end.org" }),
    named("an upgrade beside it", { ...tunnelled, headers: [["upgrade", "websocket"]] }),
    ...["204", "302", "407", "500"].map(status),
    named("forwarded, refused, more behind", { ...status("407"), tunnel: inner }),
  ],
};

const managed: CaseGroup = {
  name: "connect-managed",
  manager: { upgrade_configs: [{ upgrade_type: "CONNECT" }], strip_any_host_port: true, normalize_path: true },
  hosts: [
    hostOf("plain", connecting, {}),
    hostOf("off", connecting, { upgrade_configs: [{ upgrade_type: "CONNECT", enabled: false }] }),
  ],
  requests: [to("plain"), to("off")],
};

export const connectingCases: readonly CaseGroup[] = [routed, managed];
