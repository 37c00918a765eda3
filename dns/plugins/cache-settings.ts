/**
 * What the Corefile says to `cache`. Pure.
 *
 *   Directive ─▶ readSettings ─▶ Settings ─▶ cache.ts
 */
import {
  complain,
  type Directive,
  durationOf,
  numberOf,
  oneArg,
  onlyOptions,
  secondsOf,
  zonesOf,
} from "../corefile/directive.ts";

/** Answers with records, and those without. */
export type Kind = "success" | "denial";

interface StoreSettings {
  readonly capacity: number;
  readonly ttlMax: number;
  readonly ttlMin: number;
}

/** `cache [TTL] [ZONES…] { … }`, checked. */
export interface Settings {
  readonly zones: readonly string[];
  readonly stores: Readonly<Record<Kind, StoreSettings>>;
  /** Zones whose answers of a kind are not kept. */
  readonly disabled: Readonly<Record<Kind, readonly string[]>>;
  readonly servfailSeconds: number;
  /** 0: off. */
  readonly prefetchHits: number;
  readonly prefetchWithinMs: number;
  readonly prefetchShare: number;
  readonly staleSeconds: number;
  readonly verifiesStale: boolean;
  readonly keepsTTL: boolean;
}

const options = ["success", "denial", "prefetch", "serve_stale", "servfail", "disable", "keepttl"] as const;

/** The settings; throws DNSError Corefile. */
export function readSettings(directive: Directive, siteZones: readonly string[]): Settings {
  const [first, ...rest] = directive.args;
  const hasTTL = first !== undefined && /^[0-9]+$/.test(first);
  const ttl = hasTTL ? numberOf(directive, first, { min: 1, max: 2 ** 31 - 1 }) : undefined;
  const zoneTexts = hasTTL ? rest : directive.args;
  const block = onlyOptions(directive, options);
  const last = (name: (typeof options)[number]): Directive | undefined => block.findLast((each) => each.name === name);
  const store = (name: Kind, ttlMax: number): StoreSettings => {
    const [capacity = "9984", most, least] = last(name)?.args ?? [];
    const at = last(name) ?? directive;
    const range = { min: 0, max: 2 ** 31 - 1 };
    return {
      capacity: numberOf(at, capacity, range),
      ttlMax: most === undefined ? (ttl ?? ttlMax) : secondsOf(at, most, range),
      ttlMin: least === undefined ? 5 : secondsOf(at, least, range),
    };
  };
  const disabled = (kind: Kind): readonly string[] =>
    block
      .filter(({ name, args }) => name === "disable" && args[0] === kind)
      .flatMap((each) => zonesOf(each, each.args.slice(1), ["\0"]));
  const servfail = last("servfail");
  const servfailSeconds =
    servfail === undefined ? 5 : durationOf(servfail, oneArg(servfail, "a duration up to 5m")) / 1000;
  if (servfail !== undefined && servfailSeconds > 300) complain(servfail, "more than 5m, wanted at most 5m");
  return {
    zones: zonesOf(directive, zoneTexts, siteZones),
    stores: { success: store("success", 3600), denial: store("denial", 1800) },
    disabled: { success: disabled("success"), denial: disabled("denial") },
    servfailSeconds,
    keepsTTL: last("keepttl") !== undefined,
    ...readPrefetch(last("prefetch")),
    ...readStale(last("serve_stale")),
  };
}

function readPrefetch(
  directive: Directive | undefined,
): Pick<Settings, "prefetchHits" | "prefetchWithinMs" | "prefetchShare"> {
  if (directive === undefined) return { prefetchHits: 0, prefetchWithinMs: 60_000, prefetchShare: 0.1 };
  const [hits = "", within = "1m", share = "10%"] = directive.args;
  const percent = /^([0-9]{1,2})%$/.exec(share)?.[1] ?? complain(directive, `"${share}", wanted a percentage`);
  return {
    prefetchHits: numberOf(directive, hits, { min: 0, max: 1e9 }),
    prefetchWithinMs: durationOf(directive, within),
    prefetchShare: Number(percent) / 100,
  };
}

function readStale(directive: Directive | undefined): Pick<Settings, "staleSeconds" | "verifiesStale"> {
  if (directive === undefined) return { staleSeconds: 0, verifiesStale: false };
  const [duration = "1h", mode = "immediate"] = directive.args;
  if (mode !== "immediate" && mode !== "verify") complain(directive, `"${mode}", wanted immediate or verify`);
  return { staleSeconds: durationOf(directive, duration) / 1000, verifiesStale: mode === "verify" };
}
