/**
 * A filter that adds headers to requests and responses.
 *
 *   config: { "request": { "x-team": "shop" }, "response": { "x-served-by": "wherry" } }
 */
import type { HttpFilter } from "#proxy/l7/filter.ts";
import type { FilterModule } from "#proxy/l7/filters/modules.ts";

type Fields = Readonly<Record<string, string>>;

const filter: FilterModule = {
  configure(config) {
    const { request = {}, response = {} } = config as { request?: Fields; response?: Fields };
    // The same object serves every request: it keeps nothing of one.
    const shared: HttpFilter = {
      onRequestHeaders(context) {
        for (const [name, value] of Object.entries(request)) context.requestHeaders.set(name, value);
        return "continue";
      },
      onResponseHeaders(context) {
        for (const [name, value] of Object.entries(response)) context.responseHeaders.set(name, value);
        return "continue";
      },
    };
    return () => shared;
  },
};
export default filter;
