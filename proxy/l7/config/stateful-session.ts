/**
 * Stateful sessions, as a chain or a route configures them. Pure.
 *
 *   http_filters, typed_per_filter_config ─▶ readStatefulSession(), readStatefulSessionPerRoute() ─▶ filters/session.ts
 *
 * Source: envoy.extensions.filters.http.stateful_session.v3, envoy.extensions.http.stateful_session.{cookie,header}.v3.
 */
import type { CookieTerms } from "../route/cookie.ts";
import { readCookieAttributes } from "./cookie.ts";
import { disabledFilter } from "./disabled.ts";
import type { Reader } from "./reader.ts";

export type SessionState =
  /** The endpoint stands in a cookie, for requests below `path`; `ttlSeconds` 0 is a session cookie. */
  | ({ readonly kind: "cookie" } & CookieTerms)
  /** It stands in a header of that name, both ways. */
  | { readonly kind: "header"; readonly name: string };

export interface SessionConfig {
  /** Undefined: the filter does nothing. */
  readonly state: SessionState | undefined;
  /** Who asks for an endpoint that is gone gets 503 instead of another one. */
  readonly isStrict: boolean;
}

const prefix = "type.googleapis.com/envoy.extensions.http.stateful_session.";

export function readStatefulSession(reader: Reader): SessionConfig {
  const extension = reader.object("session_state");
  const isStrict = reader.flag("strict") ?? false;
  reader.done();
  return { state: extension === undefined ? undefined : readState(extension), isStrict };
}

export function readStatefulSessionPerRoute(reader: Reader): SessionConfig | typeof disabledFilter {
  const isDisabled = reader.flag("disabled") ?? false;
  const session = reader.object("stateful_session");
  reader.done();
  if (isDisabled === (session !== undefined))
    throw reader.bad("stateful_session", "wanted exactly one of disabled and stateful_session");
  return session === undefined ? disabledFilter : readStatefulSession(session);
}

function readState(extension: Reader): SessionState {
  extension.wantText("name");
  const config = extension.wantObject("typed_config");
  const type = config.wantText("@type");
  extension.done();
  if (type === `${prefix}header.v3.HeaderBasedSessionState`) {
    const name = config.wantText("name");
    config.done();
    return { kind: "header", name };
  }
  if (type !== `${prefix}cookie.v3.CookieBasedSessionState`)
    throw config.unsupported("@type", `${JSON.stringify(type)}, wanted ${prefix}cookie.v3… or header.v3…`);
  const cookie = config.wantObject("cookie");
  config.done();
  const state = {
    kind: "cookie",
    name: cookie.wantText("name"),
    path: cookie.text("path") ?? "",
    ttlSeconds: Math.floor((cookie.durationMs("ttl") ?? 0) / 1000),
    attributes: readCookieAttributes(cookie),
  } as const;
  cookie.done();
  return state;
}
