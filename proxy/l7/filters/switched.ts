/**
 * A filter that is off for some requests: its chain disables it and their route does not name it, or the route does.
 *
 *   registry.ts ─▶ switched(factory) ─▶ HttpFilterFactory
 *
 * Decided once, with the request's head. Invariant: a filter that is off sees nothing of its request.
 * Source: Envoy's HttpFilter.disabled and envoy.config.route.v3.FilterConfig.
 */
import type { HttpFilter, HttpFilterFactory } from "../filter.ts";

/** `isDisabled`: by the chain. */
export function switched(factory: HttpFilterFactory, isDisabled: boolean): HttpFilterFactory {
  const { name } = factory;
  return {
    name,
    create() {
      const filter = factory.create();
      return filter === undefined ? undefined : switchable(filter, name, isDisabled);
    },
  };
}

function switchable(inner: HttpFilter, name: string, isDisabled: boolean): HttpFilter {
  let isOn = false;
  const outer: HttpFilter = {
    onRequestHeaders(context, isWhole) {
      isOn = context.routeConfigOf(name) !== "disabled" && (!isDisabled || context.isNamedByRoute(name));
      return isOn ? (inner.onRequestHeaders?.(context, isWhole) ?? "continue") : "continue";
    },
  };
  // A method that is not there is not asked for: with one for data the length of a body would be unknown.
  if (inner.onRequestData !== undefined)
    outer.onRequestData = (context, data) => (isOn ? inner.onRequestData!(context, data) : "continue");
  if (inner.onRequestEnd !== undefined)
    outer.onRequestEnd = (context) => (isOn ? inner.onRequestEnd!(context) : undefined);
  if (inner.onRequestTrailers !== undefined)
    outer.onRequestTrailers = (context, trailers) => (isOn ? inner.onRequestTrailers!(context, trailers) : "continue");
  if (inner.onResponseHeaders !== undefined)
    outer.onResponseHeaders = (context, isWhole) => (isOn ? inner.onResponseHeaders!(context, isWhole) : "continue");
  if (inner.onResponseData !== undefined)
    outer.onResponseData = (context, data) => (isOn ? inner.onResponseData!(context, data) : "continue");
  if (inner.onResponseEnd !== undefined)
    outer.onResponseEnd = (context) => (isOn ? inner.onResponseEnd!(context) : undefined);
  Object.defineProperty(outer, "passesResponseData", { get: () => !isOn || inner.passesResponseData === true });
  if (inner.onResponseTrailers !== undefined)
    outer.onResponseTrailers = (context, trailers) =>
      isOn ? inner.onResponseTrailers!(context, trailers) : "continue";
  if (inner.onEnd !== undefined)
    outer.onEnd = (context) => {
      if (isOn) inner.onEnd!(context);
    };
  return outer;
}
