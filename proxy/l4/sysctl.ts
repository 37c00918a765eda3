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
