/**
 * dns64: makes AAAA of A for networks that are IPv6 only (RFC 6147).
 *
 *   AAAA asked, none there ─▶ A of the same name ─▶ prefix + A ─▶ Answer
 *
 * Follows: CoreDNS plugin/dns64.
 */
import { parseRange } from "../address.ts";
import { type Answer, recordsOf, withRecords } from "../answer.ts";
import { complain, onlyOptions } from "../corefile/directive.ts";
import { counter } from "../metrics.ts";
import type { Handler, Plugin, PluginKind, Request } from "../plugin.ts";
import { rcodes, types } from "../wire/constants.ts";
import { soaMinimum } from "../wire/data.ts";
import { derivedQuery, nameAsSent } from "../wire/query.ts";

const wellKnown = "64:ff9b::/96";
/** Without an SOA (RFC 6147 §5.1.7), in seconds. */
const ttlMax = 600;

/** The plugin `dns64 [PREFIX] { prefix PREFIX; translate_all; allow_ipv4 }`. */
export const dns64: PluginKind = {
  name: "dns64",
  setup([directive], site) {
    if (directive === undefined) throw new TypeError("dns64 needs a directive");
    const block = onlyOptions(directive, ["prefix", "translate_all", "allow_ipv4"]);
    const [text = block.find(({ name }) => name === "prefix")?.args[0] ?? wellKnown] = directive.args;
    const prefix = parseRange(text);
    if (prefix === undefined || prefix.bytes.length !== 16 || ![32, 40, 48, 56, 64, 96].includes(prefix.bits))
      complain(directive, `"${text}", wanted an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits`);
    const all = block.some(({ name }) => name === "translate_all");
    const takesIPv4 = block.some(({ name }) => name === "allow_ipv4");
    let translated = 0;
    return {
      name: "dns64",
      wrap: (next) => (request) => {
        const isWanted = request.query.type === types.aaaa && (takesIPv4 || request.client.includes(":"));
        if (!isWanted) return next(request);
        return translate(request, next, { prefix, all }).then(({ answer, isTranslated }) => {
          if (isTranslated) translated++;
          return answer;
        });
      },
      collect: () => [
        counter("coredns_dns64_requests_translated_total", "Answers made of A.", [
          `{server="${site.server}"} ${translated}`,
        ]),
      ],
    } satisfies Plugin;
  },
};

interface Settings {
  readonly prefix: { readonly bytes: Uint8Array; readonly bits: number };
  readonly all: boolean;
}

async function translate(
  request: Request,
  next: Handler,
  { prefix, all }: Settings,
): Promise<{ answer: Answer; isTranslated: boolean }> {
  const { query } = request;
  const own = await next(request);
  const records = own.rcode < 0 ? undefined : recordsOf(query, own);
  const hasAAAA = records?.answer.some(({ type }) => type === types.aaaa) ?? true;
  if ((own.rcode !== rcodes.noError && own.rcode !== rcodes.servFail) || (hasAAAA && !all))
    return { answer: own, isTranslated: false };
  const inner = derivedQuery(query, nameAsSent(query), types.a);
  const answer = await next({ ...request, query: inner });
  if (answer.rcode !== rcodes.noError || answer.sections.counts[0] === 0) return { answer: own, isTranslated: false };
  const soa = records?.authority.find(({ type }) => type === types.soa);
  const limit = soa === undefined ? ttlMax : Math.min(soa.ttl, soaMinimum(soa));
  const translated = recordsOf(inner, answer).answer.map((record) =>
    record.type !== types.a
      ? record
      : { ...record, type: types.aaaa, ttl: Math.min(record.ttl, limit), data: embed(prefix, record.data) },
  );
  return { answer: withRecords(query, answer, { answer: translated }), isTranslated: true };
}

/** RFC 6052 §2.2: the IPv4 address behind the prefix, around bits 64 to 71, which stay zero. */
function embed({ bytes, bits }: Settings["prefix"], address: Uint8Array): Uint8Array {
  const made = new Uint8Array(16);
  made.set(bytes.subarray(0, bits / 8));
  let at = bits / 8;
  for (const byte of address) {
    if (at === 8) at++;
    made[at++] = byte;
  }
  return made;
}
