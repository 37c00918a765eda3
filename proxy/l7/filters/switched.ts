/**
 * A filter that is off for some requests: its chain disables it and their route does not name it, or the route does.
 *
 *   registry.ts ─▶ switched(factory) ─▶ HttpFilterFactory
 *
 * Decided once, with the request's head, or the answer's where a filter in front gave one. Invariant: a filter that is
 * off sees nothing of its request.
 * Source: Envoy's HttpFilter.disabled and envoy.config.route.v3.FilterConfig.
 */
import type { FilterContext, HttpFilter, HttpFilterFactory } from "../filter.ts";

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
  let isOn: boolean | undefined;
  const decide = (context: FilterContext): boolean =>
    context.routeConfigOf(name) !== "disabled" && (!isDisabled || context.isNamedByRoute(name));
  const outer: HttpFilter = {
    onRequestHeaders(context, isWhole) {
      isOn = decide(context);
      return isOn && inner.onRequestHeaders !== undefined ? inner.onRequestHeaders(context, isWhole) : "continue";
    },
    onResponseHeaders(context, isWhole) {
      // A filter in front of it may have answered, so that it has not seen the request.
      isOn ??= decide(context);
      return isOn && inner.onResponseHeaders !== undefined ? inner.onResponseHeaders(context, isWhole) : "continue";
    },
  };
  // A method that is not there is not asked for: with one for data the length of a body would be unknown.
  if (inner.onRequestData !== undefined)
    outer.onRequestData = (context, data) => (isOn === true ? inner.onRequestData!(context, data) : "continue");
  if (inner.onRequestEnd !== undefined)
    outer.onRequestEnd = (context) => (isOn === true ? inner.onRequestEnd!(context) : undefined);
  if (inner.onRequestTrailers !== undefined)
    outer.onRequestTrailers = (context, trailers) =>
      isOn === true ? inner.onRequestTrailers!(context, trailers) : "continue";
  if (inner.onResponseData !== undefined)
    outer.onResponseData = (context, data) => (isOn === true ? inner.onResponseData!(context, data) : "continue");
  if (inner.onResponseEnd !== undefined)
    outer.onResponseEnd = (context) => (isOn === true ? inner.onResponseEnd!(context) : undefined);
  Object.defineProperty(outer, "passesResponseData", { get: () => isOn !== true || inner.passesResponseData === true });
  if (inner.onResponseTrailers !== undefined)
    outer.onResponseTrailers = (context, trailers) =>
      isOn === true ? inner.onResponseTrailers!(context, trailers) : "continue";
  if (inner.onEnd !== undefined)
    // What it gives, which may be a promise, is its caller's to look at.
    outer.onEnd = (context) => (isOn === true ? inner.onEnd!(context) : undefined);
  return outer;
}
