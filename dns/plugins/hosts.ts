/**
 * hosts: addresses from a file like /etc/hosts, and from lines of the Corefile.
 *
 *   file (read again when it changes), inline lines ─▶ names, reverse names ─▶ Answer
 *
 * Follows: CoreDNS plugin/hosts.
 */
import type { Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { canonical, fromReverseName, toBytes } from "../address.ts";
import { authoritative, type Answer, statusAnswer } from "../answer.ts";
import { type Directive, durationOf, noArgs, numberOf, oneArg, zonesOf } from "../corefile/directive.ts";
import { fallthroughOf } from "../corefile/fallthrough.ts";
import { gauge } from "../metrics.ts";
import type { Environment, Handler, Outcome, Plugin, PluginKind, Repetition, Request } from "../plugin.ts";
import { classIN, rcodes, types } from "../wire/constants.ts";
import { addressRecord, nameRecord } from "../wire/data.ts";
import { closestZone, parentOf, toKey, toText } from "../wire/name.ts";

/** Lines that are read of a file, at most. */
const linesMax = 200_000;

const missing = statusAnswer(rcodes.servFail, "hosts");

/** The label `*` in wire form. */
const wildcard = "\x01*";

interface Table {
  /** Over when the next one is read. */
  readonly life: { isOver: boolean };
  /** Name (key) → addresses. */
  readonly forward: ReadonlyMap<string, readonly Uint8Array[]>;
  /** Canonical address → names (keys), in order. */
  readonly reverse: ReadonlyMap<string, readonly string[]>;
}

/** The plugin `hosts [FILE [ZONES…]] { … }`. */
export const hosts: PluginKind = {
  name: "hosts",
  setup([directive], site, environment) {
    if (directive === undefined) throw new TypeError("hosts needs a directive");
    return new Hosts(directive, site.zones, environment);
  },
};

const settings = ["ttl", "reload", "no_reverse", "fallthrough"];

class Hosts implements Plugin {
  readonly name = "hosts";
  readonly #environment: Environment;
  readonly #file: string | undefined;
  readonly #zones: readonly string[];
  readonly #fallthrough: readonly string[];
  readonly #inline: readonly string[];
  readonly #ttl: number;
  readonly #reloadMs: number;
  readonly #hasReverse: boolean;
  #table: Table = { life: { isOver: false }, forward: new Map(), reverse: new Map() };
  #text = "";
  #timer: Timer | undefined;

  constructor(directive: Directive, siteZones: readonly string[], environment: Environment) {
    const block = directive.block ?? [];
    const last = (name: string): Directive | undefined => block.findLast((each) => each.name === name);
    const [file, ...zones] = directive.args;
    const [ttl, reload, reverse] = [last("ttl"), last("reload"), last("no_reverse")];
    this.#environment = environment;
    this.#inline = block.filter(({ name }) => !settings.includes(name)).map((line) => inlineLine(line));
    // Without a file and without lines of its own it reads the system's (CoreDNS).
    this.#file = file ?? (this.#inline.length === 0 ? "/etc/hosts" : undefined);
    this.#zones = zonesOf(directive, zones, siteZones);
    this.#fallthrough = fallthroughOf(block, this.#zones);
    this.#ttl = ttl === undefined ? 3600 : numberOf(ttl, oneArg(ttl, "seconds"), { min: 1, max: 65_535 });
    this.#reloadMs = reload === undefined ? 5000 : durationOf(reload, oneArg(reload, "a duration"));
    if (reverse !== undefined) noArgs(reverse);
    this.#hasReverse = reverse === undefined;
    this.#read();
  }

  wrap(next: Handler): Handler {
    return (request) => this.#serve(request, next);
  }

  repeat(): Repetition {
    return { validity: this.#table.life };
  }

  start(): void {
    if (this.#file === undefined || this.#reloadMs === 0) return;
    this.#timer = this.#environment.clock.after(this.#reloadMs, () => {
      this.#read();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  collect(): ReturnType<NonNullable<Plugin["collect"]>> {
    return [gauge("coredns_hosts_entries", "Names of hosts.", [` ${this.#table.forward.size}`])];
  }

  #serve(request: Request, next: Handler): Outcome {
    const { name, type, class: qclass } = request.query;
    // Reverse names need not be among the zones.
    const isOurs = type === types.ptr || closestZone(name, this.#zones) !== undefined;
    if (qclass !== classIN || !isOurs) return next(request);
    const { forward, life } = this.#table;
    const known = this.#lookUp(name, type);
    if (known !== undefined) return { ...known, validity: life };
    if (type === types.ptr) return next(request);
    // What has other addresses is NODATA. Without SOA there is no NXDOMAIN: what has none is a failure, unless told.
    if (forward.has(name) || forward.has(wildcardOf(name))) return authoritative("hosts", name, {});
    return closestZone(name, this.#fallthrough) === undefined ? missing : next(request);
  }

  #lookUp(name: string, type: number): Answer | undefined {
    const owner = { name, ttl: this.#ttl };
    if (type === types.ptr) {
      const address = this.#hasReverse ? fromReverseName(toText(name)) : undefined;
      const names = address === undefined ? undefined : this.#table.reverse.get(canonical(address));
      const answer = names?.map((target) => nameRecord(owner, types.ptr, target));
      return answer === undefined ? undefined : authoritative("hosts", name, { answer });
    }
    const wanted = type === types.a ? 4 : type === types.aaaa ? 16 : 0;
    const addressesOf = (key: string): readonly Uint8Array[] =>
      (this.#table.forward.get(key) ?? []).filter(({ length }) => length === wanted);
    const own = addressesOf(name);
    const found = own.length > 0 ? own : addressesOf(wildcardOf(name));
    const answer = found.map((address) => addressRecord(owner, address));
    return answer.length === 0 ? undefined : authoritative("hosts", name, { answer });
  }

  #read(): void {
    let text = "";
    try {
      if (this.#file !== undefined) text = this.#environment.readFile(this.#file);
    } catch (error) {
      // What was read before is kept; the inline lines serve in any case.
      this.#environment.log.warn("Cannot read hosts", { file: this.#file, error: messageOf(error) });
      text = this.#text;
    }
    if (text === this.#text && this.#table.forward.size > 0) return;
    this.#text = text;
    this.#table.life.isOver = true;
    this.#table = parseHosts([...text.split("\n", linesMax), ...this.#inline]);
  }
}

/** `*.example.org` stands for one label below `example.org` that has no line of its own. */
function wildcardOf(name: string): string {
  return wildcard + parentOf(name);
}

/** An inline line came as a directive: the address is its name. */
function inlineLine({ name, args }: Directive): string {
  return [name, ...args].join(" ");
}

/** Lines that are no `ADDRESS NAME…` are passed over, as the resolver of the system does. */
function parseHosts(lines: readonly string[]): Table {
  const forward = new Map<string, Uint8Array[]>();
  const reverse = new Map<string, string[]>();
  for (const line of lines) {
    const [addressText = "", ...names] = (line.split("#")[0] ?? "").trim().split(/\s+/);
    const address = toBytes(addressText.split("%")[0] ?? "");
    if (address === undefined) continue;
    for (const text of names) {
      const name = toKey(text);
      if (name === undefined) continue;
      forward.set(name, [...(forward.get(name) ?? []), address]);
      if (!name.startsWith(wildcard))
        reverse.set(canonical(address), [...(reverse.get(canonical(address)) ?? []), name]);
    }
  }
  return { life: { isOver: false }, forward, reverse };
}
