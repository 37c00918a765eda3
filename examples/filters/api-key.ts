/**
 * A filter that lets only requests with a known key pass, and says who they are from.
 *
 *   config: { "header": "x-api-key", "keys": { "s3cret": "alice" } }
 */
import type { FilterModule } from "#proxy/l7/filters/modules.ts";

const filter: FilterModule = {
  configure(config) {
    const { header = "x-api-key", keys } = config as { header?: string; keys?: Readonly<Record<string, string>> };
    if (keys === undefined) throw new TypeError("Cannot configure api-key: keys is not there, wanted key and user");
    const users = new Map(Object.entries(keys));
    return () => ({
      onRequestHeaders(context) {
        const user = users.get(context.requestHeaders.get(header) ?? "");
        if (user === undefined) {
          context.reply({ status: 401, body: "Cannot serve request: no key, or one that is not known\n" });
          return "stop";
        }
        // The key is for this hop; who it belongs to is what the application needs.
        context.requestHeaders.remove(header);
        context.requestHeaders.set("x-user", user);
        return "continue";
      },
    });
  },
};
export default filter;
