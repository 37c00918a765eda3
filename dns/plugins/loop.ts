/**
 * loop: finds out whether an upstream sends queries back to us, once the server is there to get them.
 *
 *   a name drawn by chance, HINFO ─▶ the plugins below ─▶ an upstream ─▶ seen here ─▶ the process ends with a sentence
 *
 * An upstream that does not answer is asked again, for `probeMs`: it may come up after us.
 * Follows: CoreDNS plugin/loop.
 */
import type { Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { statusAnswer } from "../answer.ts";
import { noArgs } from "../corefile/directive.ts";
import type { Handler, Plugin, PluginKind } from "../plugin.ts";
import { classIN, rcodes, types } from "../wire/constants.ts";
import { encodeQuery } from "../wire/message.ts";
import { toKey, toText } from "../wire/name.ts";
import { parseQuery } from "../wire/query.ts";

/** The probe is over after, in ms. */
const probeMs = 30_000;
/** Until the next attempt, in ms. */
const retryMs = 1000;

/** The plugin `loop`. */
export const loop: PluginKind = {
  name: "loop",
  setup([directive], site, { random, clock, fatal, log }) {
    if (directive !== undefined) noArgs(directive);
    const [zone = "\0"] = site.zones;
    const draw = (): string => String(Math.floor(random.next() * 2 ** 32));
    const name = toKey(`${draw()}.${draw()}.${toText(zone)}`.replace(/\.\.$/, ".")) ?? "\0";
    let isOver = false;
    let below: Handler | undefined;
    let end: Timer | undefined;
    let retry: Timer | undefined;
    const probe = async (ask: Handler): Promise<void> => {
      const query = parseQuery(
        encodeQuery({ id: 0, name, type: types.hinfo, class: classIN, isRecursionDesired: true, payloadBytes: 0 }),
      );
      if (query.kind !== "query") return;
      const { rcode } = await ask({ query, proto: "udp", client: "", clientPort: 0, depth: 0 });
      if (rcode === rcodes.servFail && !isOver) retry = clock.after(retryMs, () => probeLater(ask));
    };
    const probeLater = (ask: Handler): void => {
      probe(ask).catch((error: unknown) => log.debug("Cannot probe for loops", { error: messageOf(error) }));
    };
    return {
      name: "loop",
      wrap(next) {
        below = next;
        return (request) => {
          if (isOver || request.query.type !== types.hinfo || request.query.name !== name) return next(request);
          isOver = true;
          fatal(
            `Cannot go on: queries for ${site.zone} come back to ${site.server}, wanted an upstream that is not ` +
              "this server (look at forward, and at the nameservers of /etc/resolv.conf)",
          );
          return statusAnswer(rcodes.servFail, "loop");
        };
      },
      served() {
        if (below === undefined) return;
        end = clock.after(probeMs, () => {
          isOver = true;
          retry?.cancel();
        });
        probeLater(below);
      },
      stop() {
        isOver = true;
        end?.cancel();
        retry?.cancel();
      },
    } satisfies Plugin;
  },
};
