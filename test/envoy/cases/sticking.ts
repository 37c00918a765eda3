/** Stateful sessions: by cookie and by header, to hosts that are there, are gone or do not answer. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const prefix = "type.googleapis.com/envoy.extensions.";

const sessionOf = (state: Fields, more: Fields = {}): Fields => ({ session_state: state, ...more });
const byCookie = (cookie: Fields): Fields => ({
  name: "envoy.http.stateful_session.cookie",
  typed_config: { "@type": `${prefix}http.stateful_session.cookie.v3.CookieBasedSessionState`, cookie },
});
const byHeader = (name: string): Fields => ({
  name: "envoy.http.stateful_session.header",
  typed_config: { "@type": `${prefix}http.stateful_session.header.v3.HeaderBasedSessionState`, name },
});
const filterOf = (config: Fields): Fields => ({
  name: "session",
  typed_config: { "@type": `${prefix}filters.http.stateful_session.v3.StatefulSession`, ...config },
});

const to = (path: string, setting?: Fields, cluster = "pair"): Fields => ({
  name: path,
  match: { prefix: path },
  route: { cluster, retry_policy: { retry_on: "connect-failure", num_retries: 2 } },
  ...(setting === undefined
    ? {}
    : {
        typed_per_filter_config: {
          session: { "@type": `${prefix}filters.http.stateful_session.v3.StatefulSessionPerRoute`, ...setting },
        },
      }),
});

const get = (name: string, path: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name,
  path,
  headers,
});

const cookie = (name: string, path: string, value: string): CaseRequest => get(name, path, ["cookie", value]);
const strict = sessionOf(byCookie({ name: "sid" }), { strict: true });

const cookies: CaseGroup = {
  name: "session-cookies",
  filters: [filterOf(sessionOf(byCookie({ name: "sid", path: "/shop" })))],
  routes: [
    to("/shop/off", { disabled: true }, "a"),
    to("/shop/long", { stateful_session: sessionOf(byCookie({ name: "sid", ttl: "3600s" })) }, "a"),
    to("/shop/short", { stateful_session: sessionOf(byCookie({ name: "sid", path: "/shop/short/", ttl: "9s" })) }, "a"),
    to(
      "/shop/marked",
      {
        stateful_session: sessionOf(
          byCookie({
            name: "sid",
            path: "/shop/marked",
            ttl: "9s",
            attributes: [{ name: "SameSite", value: "Strict" }, { name: "Secure" }, { name: "Partitioned", value: "" }],
          }),
        ),
      },
      "a",
    ),
    to("/shop/alone", { stateful_session: strict }, "a"),
    to("/shop/strict", { stateful_session: strict }),
    to("/shop/refused", { stateful_session: strict }, "refused"),
    to("/shop/empty", undefined, "empty"),
    to("/shop/a", undefined, "a"),
    {
      name: "direct",
      match: { prefix: "/shop/direct" },
      direct_response: { status: 200, body: { inline_string: "d" } },
    },
    to("/shopping", undefined, "a"),
    to("/"),
  ],
  requests: [
    get("first", "/shop/a"),
    get("marked", "/shop/marked"),
    ...["b", "b", "a", "b", "a", "a"].map((host, at) => cookie(`to ${host} ${at}`, "/shop", `sid="@proto:${host}@"`)),
    cookie("among others", "/shop", "x=y; sid=@proto:b@; sid=@proto:a@"),
    cookie("old form", "/shop/strict", "sid=@base64:b@"),
    cookie("bare address", "/shop/alone", "sid=@b@"),
    cookie("no base64", "/shop/a", "sid=%%%"),
    cookie("base64 of nothing", "/shop/a", "sid=AAAA"),
    cookie("expired", "/shop/a", "sid=@expired:a@"),
    cookie("not expired", "/shop/a", "sid=@lasting:a@"),
    cookie("of another cluster", "/shop/a", "sid=@proto:b@"),
    cookie("gone, strict", "/shop/strict", "sid=@proto:refused@"),
    cookie("there, strict", "/shop/strict", "sid=@proto:b@"),
    cookie("expired, strict", "/shop/alone", "sid=@expired:b@"),
    get("who does not answer", "/shop/refused"),
    cookie("who does not answer, again", "/shop/refused", "sid=@proto:refused@"),
    get("no host", "/shop/empty"),
    get("direct", "/shop/direct"),
    get("ttl", "/shop/long"),
    get("ttl and path", "/shop/short/x"),
    get("ttl and another path", "/shop/shorter"),
    cookie("disabled", "/shop/off", "sid=@proto:b@"),
    cookie("path, query", "/shop?x", "sid=@proto:b@"),
    cookie("path, longer", "/shopping", "sid=@base64:b@"),
  ],
};

const headers: CaseGroup = {
  name: "session-headers",
  filters: [filterOf(sessionOf(byHeader("X-Session")))],
  routes: [
    to("/strict", { stateful_session: sessionOf(byHeader("x-session"), { strict: true }) }),
    to("/off", { disabled: true }, "a"),
    to("/none", { stateful_session: {} }, "a"),
    to("/a", undefined, "a"),
    to("/"),
  ],
  requests: [
    get("first", "/a"),
    ...["b", "b", "a", "b", "a", "a"].map((host, at) =>
      get(`to ${host} ${at}`, "/", ["x-session", `@base64:${host}@`]),
    ),
    get("bare address", "/a", ["x-session", "@b@"]),
    get("empty", "/a", ["x-session", ""]),
    get("gone", "/a", ["x-session", "@base64:b@"]),
    get("gone, strict", "/strict", ["x-session", "@base64:refused@"]),
    get("there, strict", "/strict", ["x-session", "@base64:b@"]),
    get("said by the upstream", "/a", ["x-answer-header", "x-session=mine"]),
    get("off", "/off", ["x-session", "@base64:b@"]),
    get("none", "/none", ["x-session", "@base64:b@"]),
  ],
};

export const stickingCases: readonly CaseGroup[] = [cookies, headers];
