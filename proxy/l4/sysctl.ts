/**
 * Kernel settings that the rules rely on, in the node's network namespace.
 *
 *   state.ts, once at start ─▶ Exec ─▶ /proc/sys/net/ipv4
 */
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Exec } from "./exec.ts";

/**
 * No ICMP redirects: a pod that calls itself through a Service comes in and goes out by one interface, and the
 * kernel would tell the pod of a better way. Worse, that message uses up the pod's ICMP budget (icmp_ratelimit), and
 * the next UDP packet to a Service without endpoints is then dropped silently instead of rejected. Interfaces to
 * come inherit `default`.
 */
const script = "for file in /proc/sys/net/ipv4/conf/*/send_redirects; do echo 0 >$file || exit 1; done";

/** Makes the settings. A failure is logged, and costs no more than the above. */
export async function applySysctls(exec: Exec, log: Logger): Promise<void> {
  try {
    const { exitCode, stderr } = await exec(["sh", "-c", script]);
    if (exitCode !== 0) log.warn("Cannot disable ICMP redirects", { error: stderr.trim().slice(0, 300) });
  } catch (error) {
    log.warn("Cannot disable ICMP redirects", { error: messageOf(error) });
  }
}

/** A setting below /proc/sys/net/netfilter. */
export interface ConntrackSetting {
  readonly name: string;
  /** >= 0. */
  readonly value: number;
  /** Leave it alone when it is higher. */
  readonly isMinimum?: boolean;
}

/** Makes the settings that differ. What is refused, as in a network namespace that is not the host's, is logged. */
export async function applyConntrackSettings(
  settings: readonly ConntrackSetting[],
  exec: Exec,
  log: Logger,
): Promise<void> {
  for (const { name, value, isMinimum = false } of settings) {
    const file = `/proc/sys/net/netfilter/${name}`;
    const isRight = `read is <${file} && [ "$is" ${isMinimum ? "-ge" : "-eq"} ${value} ]`;
    try {
      const { exitCode, stderr } = await exec(["sh", "-c", `{ ${isRight}; } || echo ${value} >${file}`]);
      if (exitCode !== 0) log.warn("Cannot set conntrack", { name, value, error: stderr.trim().slice(0, 300) });
    } catch (error) {
      log.warn("Cannot set conntrack", { name, value, error: messageOf(error) });
    }
  }
}
