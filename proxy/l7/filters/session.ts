/**
 * Stateful sessions: a downstream that says which endpoint it had gets the same one again.
 *
 *   cookie or header ─▶ onRequestHeaders ─▶ overrideEndpoint()      endpoint ─▶ onResponseHeaders ─▶ cookie or header
 *
 * Only the first try goes by it. Whose answer it is is told when it is not who was asked for.
 * Source: Envoy's stateful_session filter.
 */
import type { SessionConfig, SessionState } from "../config/stateful-session.ts";
import type { FilterContext, HttpFilter, HttpFilterFactory } from "../filter.ts";
import { headerValue } from "../http1/headers.ts";
import { cookieValue, formatCookie } from "../route/cookie.ts";
import { addressOf } from "../socket-address.ts";
import { formatSessionCookie, formatSessionHeader, parseSessionCookie, parseSessionHeader } from "./session-cookie.ts";

export function statefulSessionFilter(name: string, config: SessionConfig): HttpFilterFactory {
  return { name, create: () => new SessionFilter(name, config) };
}

class SessionFilter implements HttpFilter {
  readonly #name: string;
  readonly #config: SessionConfig;
  /** Undefined: the request is in no session. */
  #state: SessionState | undefined;
  #asked: string | undefined;

  constructor(name: string, config: SessionConfig) {
    this.#name = name;
    this.#config = config;
  }

  onRequestHeaders(context: FilterContext): "continue" {
    const setting = context.routeConfigOf(this.#name);
    if (setting === "disabled") return "continue";
    const { state, isStrict } = (setting as SessionConfig | undefined) ?? this.#config;
    if (state === undefined || (state.kind === "cookie" && !isBelow(context.request.target, state.path)))
      return "continue";
    this.#state = state;
    this.#asked = askedFor(context, state);
    if (this.#asked !== undefined) context.overrideEndpoint({ to: this.#asked, isStrict });
    return "continue";
  }

  onResponseHeaders(context: FilterContext): "continue" {
    const { endpoint } = context;
    const state = this.#state;
    if (state === undefined || endpoint === undefined) return "continue";
    const address = addressOf(endpoint);
    if (address !== this.#asked) tell(context, state, address);
    return "continue";
  }
}

function askedFor(context: FilterContext, state: SessionState): string | undefined {
  if (state.kind === "cookie") {
    const text = cookieValue(context.request, state.name);
    return text === undefined ? undefined : parseSessionCookie(text, Math.floor(context.wallMs() / 1000));
  }
  const text = headerValue(context.request.headers, state.name.toLowerCase());
  return text === undefined ? undefined : parseSessionHeader(text);
}

function tell(context: FilterContext, state: SessionState, address: string): void {
  if (state.kind === "header") return context.responseHeaders.set(state.name, formatSessionHeader(address));
  const { ttlSeconds } = state;
  const expires = ttlSeconds === 0 ? 0 : Math.floor(context.wallMs() / 1000) + ttlSeconds;
  context.responseHeaders.append("Set-Cookie", formatCookie(state, formatSessionCookie(address, expires)));
}

/** Does the cookie's path hold for the target? (RFC 6265 §5.1.4) */
function isBelow(target: string, path: string): boolean {
  if (path === "" || path === "/") return true;
  if (!target.startsWith(path)) return false;
  return path.endsWith("/") || target.length === path.length || "/?#".includes(target[path.length]!);
}
