/**
 * transfer: who may have whole zones (AXFR, RFC 5936).
 *
 *   AXFR ─▶ may this downstream? ─▶ records of file, auto or kubernetes ─▶ Answer, with the further messages
 *
 * A plugin like others, so that acl, log and what else stands above it see the query. What it does not give is
 * refused, whatever stands below: an upstream's zone is not ours to give. NOTIFY is not sent, IXFR is not spoken.
 * Follows: CoreDNS plugin/transfer.
 */
import { isInRange, parseRange, toBytes } from "../address.ts";
import { type Answer, answerOf, statusAnswer } from "../answer.ts";
import { complain, onlyOptions, zonesOf } from "../corefile/directive.ts";
import type { Handler, Plugin, PluginKind } from "../plugin.ts";
import { flags, rcodes, types } from "../wire/constants.ts";
import { closestZone } from "../wire/name.ts";
import { encodeSections, type RR } from "../wire/record.ts";

/** Records of one message. */
const recordsPerMessage = 500;

const refused = statusAnswer(rcodes.refused, "transfer");

/** The plugin `transfer [ZONES…] { to ADDRESS… }`. */
export const transfer: PluginKind = {
  name: "transfer",
  setup(directives, site) {
    const rules = directives.map((directive) => ({
      zones: zonesOf(directive, directive.args, site.zones),
      ranges: onlyOptions(directive, ["to"]).flatMap((option) =>
        option.args.map((text) =>
          text === "*"
            ? undefined
            : (parseRange(text.replace(/:[0-9]+$/, "")) ?? complain(option, `"${text}", wanted *, or an address`)),
        ),
      ),
    }));
    return {
      name: "transfer",
      // Answers of others pass, and its own are never given out again.
      repeat: () => ({}),
      wrap: (next) => (request) => {
        const { query, client, proto } = request;
        if (query.type !== types.axfr) return next(request);
        // RFC 5936 §4.2: over streams only. A response over HTTP is one message.
        if (proto !== "tcp" && proto !== "tls") return refused;
        const address = toBytes(client);
        const rule = rules.find(({ zones }) => closestZone(query.name, zones) !== undefined);
        const isAllowed = rule?.ranges.some(
          (range) => range === undefined || (address !== undefined && isInRange(address, range)),
        );
        if (isAllowed !== true) return refused;
        const records = [...site.plugins().values()]
          .map((plugin) => plugin.zoneRecords?.(query.name))
          .find((found) => found !== undefined);
        const [first, ...more] = records === undefined ? [] : toMessages(query.name, records);
        return first === undefined ? refused : { ...first, more };
      },
    } satisfies Plugin;
  },
};

/** Refuses every zone transfer: below `transfer` nobody knows of them. */
export function refuseTransfers(next: Handler): Handler {
  return (request) => (request.query.type === types.axfr ? refused : next(request));
}

/** SOA first and last (RFC 5936 §2.2). */
function toMessages(zone: string, records: readonly RR[]): readonly Answer[] {
  const soa = records.find(({ type, name }) => type === types.soa && name === zone);
  if (soa === undefined) return [];
  const all = [soa, ...records.filter((record) => record !== soa), soa];
  const messages: Answer[] = [];
  for (let at = 0; at < all.length;) {
    const sections = encodeSections(zone, { answer: all.slice(at, at + recordsPerMessage) });
    // Those that did not fit go into the next message; one always fits.
    at += Math.max(1, sections.counts[0]);
    messages.push(answerOf({ plugin: "transfer", flags: flags.authoritative, sections }));
  }
  return messages;
}
