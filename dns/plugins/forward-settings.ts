/**
 * What the Corefile says to `forward`. Pure but for the reading of files.
 *
 *   Directive ─▶ readSettings ─▶ Settings ─▶ forward.ts
 */
import { isIP } from "node:net";
import { errnoOf } from "#lib/errors.ts";
import {
  complain,
  type Directive,
  durationOf,
  noArgs,
  numberOf,
  oneArg,
  onlyOptions,
  zonesOf,
} from "../corefile/directive.ts";
import type { Environment } from "../plugin.ts";
import type { UpstreamOptions, UpstreamSpec } from "../upstream/upstream.ts";
import { rcodeNames } from "../wire/constants.ts";
import { nameOrRoot } from "../wire/name.ts";

const upstreamsMax = 15;

const policies = ["random", "round_robin", "sequential"] as const;
type Policy = (typeof policies)[number];

/** `forward FROM TO… { … }`, checked. */
export interface Settings {
  readonly from: readonly string[];
  readonly to: readonly UpstreamSpec[];
  readonly except: readonly string[];
  readonly policy: Policy;
  readonly isTCPForced: boolean;
  readonly isUDPPreferred: boolean;
  /** 0: no bound. */
  readonly concurrentMax: number;
  readonly timeoutMs: number;
  readonly failsFast: boolean;
  /** Rcodes that hand the query to the next plugin, and to the next upstream. */
  readonly next: readonly number[];
  readonly failover: readonly number[];
  readonly expireMs: number;
  readonly tls: UpstreamOptions["tls"];
  readonly health: UpstreamOptions["health"];
}

const options = [
  "except",
  "force_tcp",
  "prefer_udp",
  "expire",
  "max_idle_conns",
  "max_age",
  "max_fails",
  "max_connect_attempts",
  "tls",
  "tls_servername",
  "policy",
  "health_check",
  "max_concurrent",
  "next",
  "failover",
  "failfast_all_unhealthy_upstreams",
  "read_timeout",
] as const;

/** The settings; throws DNSError Corefile. */
export function readSettings(directive: Directive, environment: Environment): Settings {
  const [from, ...to] = directive.args;
  if (from === undefined || to.length === 0) complain(directive, "wanted FROM and at least one TO");
  const block = onlyOptions(directive, options);
  const all = (name: (typeof options)[number]): readonly Directive[] => block.filter((each) => each.name === name);
  const last = (name: (typeof options)[number]): Directive | undefined => all(name).at(-1);
  const flag = (name: (typeof options)[number]): boolean => {
    const found = last(name);
    if (found !== undefined) noArgs(found);
    return found !== undefined;
  };
  const number = (name: (typeof options)[number], otherwise: number): number => {
    const found = last(name);
    return found === undefined ? otherwise : numberOf(found, oneArg(found, "a number"), { min: 0, max: 1e9 });
  };
  const duration = (name: (typeof options)[number], otherwise: number): number => {
    const found = last(name);
    return found === undefined ? otherwise : durationOf(found, oneArg(found, "a duration"));
  };
  const policy = last("policy");
  const specs = to.flatMap((text) => parseUpstreams(directive, text, environment));
  if (specs.length === 0 || specs.length > upstreamsMax)
    complain(directive, `${specs.length} upstreams, wanted 1 to ${upstreamsMax}`);
  const codes = (name: "next" | "failover"): readonly number[] =>
    all(name).flatMap((each) => each.args.map((text) => rcodeOf(each, text)));
  return {
    from: zonesOf(directive, [from], []),
    to: specs,
    except: all("except").flatMap((each) => zonesOf(each, each.args, [])),
    policy: policy === undefined ? "random" : oneOf(policy, oneArg(policy, policies.join(", ")), policies),
    isTCPForced: flag("force_tcp"),
    isUDPPreferred: flag("prefer_udp"),
    concurrentMax: number("max_concurrent", 0),
    timeoutMs: duration("read_timeout", 2000),
    failsFast: flag("failfast_all_unhealthy_upstreams"),
    next: codes("next"),
    failover: codes("failover"),
    expireMs: duration("expire", 10_000),
    tls: readTLS(last("tls"), last("tls_servername"), environment),
    health: { ...readHealth(last("health_check")), failsMax: number("max_fails", 2) },
  };
}

function rcodeOf(directive: Directive, text: string): number {
  const found = Object.entries(rcodeNames).find(([, name]) => name === text.toUpperCase());
  return found === undefined ? complain(directive, `"${text}", wanted an rcode such as NXDOMAIN`) : Number(found[0]);
}

function oneOf<T extends string>(directive: Directive, text: string, known: readonly T[]): T {
  return known.find((each) => each === text) ?? complain(directive, `"${text}", wanted ${known.join(", ")}`);
}

function readTLS(
  tls: Directive | undefined,
  servername: Directive | undefined,
  { readFile }: Environment,
): UpstreamOptions["tls"] {
  const name = servername === undefined ? {} : { servername: oneArg(servername, "a name") };
  if (tls === undefined) return name;
  const [first, second, third] = tls.args;
  const read = (path: string): string => {
    try {
      return readFile(path);
    } catch {
      return complain(tls, `cannot read ${path}, wanted a PEM file`);
    }
  };
  if (first === undefined) return name;
  if (second === undefined) return { ...name, ca: read(first) };
  return { ...name, cert: read(first), key: read(second), ...(third === undefined ? {} : { ca: read(third) }) };
}

function readHealth(directive: Directive | undefined): Omit<UpstreamOptions["health"], "failsMax"> {
  const plain = { everyMs: 500, isRecursionDesired: true, domain: "\0" };
  if (directive === undefined) return plain;
  const [every = "", ...rest] = directive.args;
  const domainAt = rest.indexOf("domain");
  const domain = domainAt < 0 ? undefined : rest[domainAt + 1];
  return {
    everyMs: durationOf(directive, every),
    isRecursionDesired: !rest.includes("no_rec"),
    domain: domain === undefined ? "\0" : nameOrRoot(domain),
  };
}

/** Ports of upstreams where none is given. */
const defaultPorts = { dns: 53, tls: 853, https: 443 } as const;

/** `ADDR[:PORT]`, `tls://…`, `https://host/path`, or a file such as resolv.conf. */
function parseUpstreams(directive: Directive, text: string, environment: Environment): readonly UpstreamSpec[] {
  if (text.startsWith("https://")) {
    if (!URL.canParse(text)) complain(directive, `"${text}", wanted a URL`);
    const url = new URL(text);
    if (url.pathname === "/") url.pathname = "/dns-query";
    return [{ proto: "https", address: url.hostname, port: 443, text, url: url.href }];
  }
  const [, scheme = "dns", rest = ""] = /^(?:([a-z]+):\/\/)?(.*)$/.exec(text) ?? [];
  if (scheme !== "dns" && scheme !== "tls") complain(directive, `"${text}", wanted dns://, tls:// or https://`);
  const spec = parseAddress(rest.split("%")[0] ?? "", scheme);
  if (spec !== undefined) return [spec];
  let lines: readonly string[];
  try {
    lines = environment.readFile(text).split("\n");
  } catch (error) {
    const isMissing = text.startsWith("/") && errnoOf(error) === "ENOENT";
    const observed = isMissing ? `"${text}": no such file` : `"${text}"`;
    return complain(directive, `${observed}, wanted an address, with or without a port, or a file like resolv.conf`);
  }
  return lines.flatMap((line) => {
    const named = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return named === undefined ? [] : (parseAddress(named, scheme) ?? []);
  });
}

function parseAddress(text: string, proto: "dns" | "tls"): UpstreamSpec | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const address = isIP(text) === 6 ? text : (bracketed ?? plain ?? "");
  const port = portText === undefined || isIP(text) === 6 ? defaultPorts[proto] : Number(portText);
  if (isIP(address) === 0 || port < 1 || port > 65_535) return undefined;
  const host = isIP(address) === 6 ? `[${address}]` : address;
  return { proto, address, port, text: `${proto === "dns" ? "" : `${proto}://`}${host}:${port}` };
}
