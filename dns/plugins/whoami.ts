/**
 * whoami: the downstream's own address, port and protocol, in the additional section, under any name of the block.
 *
 *   Request ─▶ A or AAAA of the downstream, SRV of its port
 *
 * Follows: CoreDNS plugin/whoami.
 */
import { toBytes } from "../address.ts";
import { authoritative } from "../answer.ts";
import { noArgs } from "../corefile/directive.ts";
import type { Handler, Plugin, PluginKind } from "../plugin.ts";
import { addressRecord, srvRecord } from "../wire/data.ts";
import { keyOfLabels } from "../wire/name.ts";

/** The plugin `whoami`. Answers everything: what stands behind it in the order is never asked. */
export const whoami: PluginKind = {
  name: "whoami",
  setup([directive]) {
    if (directive !== undefined) noArgs(directive);
    const handler: Handler = ({ query, proto, client, clientPort }) => {
      const { name } = query;
      const address = toBytes(client);
      // DoT is TCP to CoreDNS, too.
      const port = keyOfLabels([`_${proto === "udp" ? "udp" : "tcp"}`], name);
      const srv = srvRecord({ name: port, ttl: 0 }, { priority: 0, weight: 0, port: clientPort, target: "\0" });
      const own = address === undefined ? [] : [addressRecord({ name, ttl: 0 }, address)];
      return authoritative("whoami", name, { additional: port.length > 255 ? own : [...own, srv] });
    };
    return { name: "whoami", wrap: () => handler } satisfies Plugin;
  },
};
