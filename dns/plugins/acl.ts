/**
 * acl: who may ask what. The first rule that fits decides.
 *
 *   client address, qtype ─▶ allow: next, block: REFUSED, filter: empty, drop: no response
 *
 * Follows: CoreDNS plugin/acl.
 */
import { isInRange, parseRange, toBytes } from "../address.ts";
import { dropped, statusAnswer } from "../answer.ts";
import { complain, type Directive, onlyOptions, zonesOf } from "../corefile/directive.ts";
import { counter } from "../metrics.ts";
import type { Plugin, PluginKind, Request } from "../plugin.ts";
import { rcodes, typeNumber } from "../wire/constants.ts";
import { closestZone } from "../wire/name.ts";

const actions = ["allow", "block", "filter", "drop"] as const;
type Action = (typeof actions)[number];

interface Rule {
  readonly action: Action;
  readonly zones: readonly string[];
  /** Undefined: every type. */
  readonly types: readonly number[] | undefined;
  /** Undefined: every address. */
  readonly ranges: readonly NonNullable<ReturnType<typeof parseRange>>[] | undefined;
}

const blocked = statusAnswer(rcodes.refused, "acl");
const filtered = statusAnswer(rcodes.noError, "acl");

/** The plugin `acl [ZONES…] { ACTION [type TYPES…] [net RANGES…] }`. */
export const acl: PluginKind = {
  name: "acl",
  setup(directives, site) {
    const rules = directives.flatMap((directive) =>
      onlyOptions(directive, actions).map((option) => readRule(option, zonesOf(directive, directive.args, site.zones))),
    );
    const counts: Record<Action, number> = { allow: 0, block: 0, filter: 0, drop: 0 };
    const labels = `server="${site.server}",zone="${site.zone}",view=""`;
    return {
      name: "acl",
      wrap: (next) => (request) => {
        const action = decide(request, rules);
        counts[action]++;
        if (action === "allow") return next(request);
        if (action === "drop") return dropped;
        return action === "block" ? blocked : filtered;
      },
      collect: () => [
        counter("coredns_acl_blocked_requests_total", "Queries refused.", [`{${labels}} ${counts.block}`]),
        counter("coredns_acl_filtered_requests_total", "Queries answered empty.", [`{${labels}} ${counts.filter}`]),
        counter("coredns_acl_allowed_requests_total", "Queries let through.", [`{${labels}} ${counts.allow}`]),
        counter("coredns_acl_dropped_requests_total", "Queries without answer.", [`{${labels}} ${counts.drop}`]),
      ],
    } satisfies Plugin;
  },
};

function readRule(option: Directive, zones: readonly string[]): Rule {
  const words: Record<"type" | "net", string[]> = { type: [], net: [] };
  let section: "type" | "net" | undefined;
  for (const word of option.args) {
    if (word === "type" || word === "net") section = word;
    else if (section === undefined) complain(option, `"${word}", wanted type or net`);
    else words[section].push(word);
  }
  const isAny = (all: readonly string[]): boolean => all.length === 0 || all.includes("*") || all.includes("ANY");
  return {
    action: actions.find((known) => known === option.name) ?? "block",
    zones,
    types: isAny(words.type)
      ? undefined
      : words.type.map((text) => typeNumber(text) ?? complain(option, `"${text}", wanted a type such as A`)),
    ranges: isAny(words.net)
      ? undefined
      : words.net.map((text) => parseRange(text) ?? complain(option, `"${text}", wanted a range such as 10.0.0.0/8`)),
  };
}

function decide({ query, client }: Request, rules: readonly Rule[]): Action {
  const address = toBytes(client);
  for (const { action, zones, types, ranges } of rules) {
    if (closestZone(query.name, zones) === undefined) continue;
    if (types !== undefined && !types.includes(query.type)) continue;
    if (ranges === undefined || (address !== undefined && ranges.some((range) => isInRange(address, range))))
      return action;
  }
  return "allow";
}
