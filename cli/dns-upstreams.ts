/**
 * Where names outside the cluster are resolved: the host's own resolvers, or those that a flag names. Pure.
 *
 *   --dns-upstream, /etc/resolv.conf ─▶ dnsUpstreams() ─▶ agents (dns/)
 */
import { isIPv4 } from "../proxy/l4/ipv4.ts";
import { CliError } from "./errors.ts";

/** As many as resolv.conf may name (resolv.conf(5), MAXNS). */
const upstreamsMax = 3;

/** `ADDR:PORT` of each, at most three. IPv6 resolvers of the host are passed over. Throws CliError Usage for a bad flag. */
export function dnsUpstreams(flags: readonly string[], resolvConf: string): readonly string[] {
  if (flags.length > upstreamsMax)
    throw new CliError("Usage", `Cannot use ${flags.length} of --dns-upstream: wanted at most ${upstreamsMax}`);
  if (flags.length > 0) return flags.map(parseUpstream);
  const named = resolvConf.split("\n").flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
  return named
    .filter(isIPv4)
    .slice(0, upstreamsMax)
    .map((address) => `${address}:53`);
}

function parseUpstream(text: string): string {
  const [address = "", port = "53", ...rest] = text.split(":");
  const isPort = /^[0-9]{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535;
  if (rest.length === 0 && isIPv4(address) && isPort) return `${address}:${port}`;
  throw new CliError("Usage", `Cannot use --dns-upstream ${text}: wanted ADDR or ADDR:PORT with an IPv4 address`);
}
