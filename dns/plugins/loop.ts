/**
 * loop: finds out whether an upstream sends queries back to us, once, at start.
 *
 *   a name drawn by chance, HINFO ─▶ the whole chain ─▶ seen again ─▶ the process ends with a sentence
 *
 * Follows: CoreDNS plugin/loop.
 */
import type { Timer } from "#lib/clock.ts";
import { statusAnswer } from "../answer.ts";
import { noArgs } from "../corefile/directive.ts";
import type { Handler, Plugin, PluginKind } from "../plugin.ts";
import { classIN, rcodes, types } from "../wire/constants.ts";
import { encodeQuery } from "../wire/message.ts";
import { toKey, toText } from "../wire/name.ts";
import { parseQuery } from "../wire/query.ts";

/** Our own question is the first sighting; one more proves a loop. */
const seenMax = 1;
/** The probe is over after, in ms. */
const probeMs = 30_000;

/** The plugin `loop`. */
export const loop: PluginKind = {
  name: "loop",
  setup([directive], site, { random, clock, fatal, log }) {
    if (directive !== undefined) noArgs(directive);
    const [zone = "\0"] = site.zones;
    const draw = (): string => String(Math.floor(random.next() * 2 ** 32));
    const name = toKey(`${draw()}.${draw()}.${toText(zone)}`.replace(/\.\.$/, ".")) ?? "\0";
    let seen = 0;
    let isOver = false;
    let chain: Handler | undefined;
    let timer: Timer | undefined;
    return {
      name: "loop",
      wrap(next) {
        const handler: Handler = (request) => {
          if (isOver || request.query.type !== types.hinfo || request.query.name !== name) return next(request);
          if (++seen > seenMax) {
            isOver = true;
            fatal(
              `Cannot go on: queries for ${site.zone} come back to ${site.server}, wanted an upstream that is not ` +
                "this server (look at forward, and at the nameservers of /etc/resolv.conf)",
            );
            return statusAnswer(rcodes.servFail, "loop");
          }
          return next(request);
        };
        chain = handler;
        return handler;
      },
      start() {
        const bytes = encodeQuery({
          id: 0,
          name,
          type: types.hinfo,
          class: classIN,
          isRecursionDesired: true,
          payloadBytes: 0,
        });
        const query = parseQuery(bytes);
        if (query.kind !== "query" || chain === undefined) return;
        timer = clock.after(probeMs, () => (isOver = true));
        const outcome = chain({ query, proto: "udp", client: "", clientPort: 0, depth: 0 });
        // An upstream that is not there cannot loop; the health checks speak of it.
        if (outcome instanceof Promise) outcome.catch(() => log.debug("The loop probe got no answer"));
      },
      stop: () => timer?.cancel(),
    } satisfies Plugin;
  },
};
