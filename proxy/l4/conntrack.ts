/**
 * UDP flows whose endpoint is gone: conntrack would send them there for as long as the client talks.
 *
 *   after each transaction that changed UDP endpoints: `conntrack -L` ─▶ planStaleFlows (pure) ─▶ `conntrack -D` each
 *
 * The table is compared, not events, so that nothing that was missed stays stale; flows to endpoints that still serve
 * are kept, also over a restart (kubernetes#122740, #139628).
 */
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { ProxyError } from "../errors.ts";
import type { Exec } from "./exec.ts";

/** All flows of one client-side destination that go to one endpoint that must not have them. */
export interface StaleFlows {
  readonly clusterIP: string;
  readonly port: number;
  readonly endpointIP: string;
  readonly endpointPort: number;
}

type UDPBackends = ReadonlyMap<string, ReadonlySet<string>>;

/** Deletions in one pass. What is beyond goes with the next pass, or with the kernel's own timeout. */
const deletionsMax = 4096;

/**
 * The stale flows in a listing of `conntrack -L`. Lines carry the original tuple, then the reply tuple:
 * `udp 17 29 src=10.244.1.2 dst=10.96.1.1 sport=999 dport=53 src=10.244.1.5 dst=10.244.1.2 sport=5353 dport=999 …`
 */
export function planStaleFlows(listing: string, backends: UDPBackends): readonly StaleFlows[] {
  const stale = new Map<string, StaleFlows>();
  for (const line of listing.split("\n")) {
    const destinations = [...line.matchAll(/\bdst=([0-9.]+) sport=[0-9]+ dport=([0-9]+)/g)];
    const sources = [...line.matchAll(/\bsrc=([0-9.]+) dst=[0-9.]+ sport=([0-9]+)/g)];
    const [, clusterIP = "", port = ""] = destinations[0] ?? [];
    const [, endpointIP = "", endpointPort = ""] = sources[1] ?? [];
    const keeping = backends.get(`${clusterIP}:${port}`);
    if (keeping === undefined || keeping.has(`${endpointIP}:${endpointPort}`)) continue;
    const flows = { clusterIP, port: Number(port), endpointIP, endpointPort: Number(endpointPort) };
    stale.set(Object.values(flows).join(" "), flows);
    if (stale.size >= deletionsMax) break;
  }
  return [...stale.values()];
}

/** The arguments that delete stale flows. */
export function deleteCommand({ clusterIP, port, endpointIP, endpointPort }: StaleFlows): readonly string[] {
  const original = ["--orig-dst", clusterIP, "--orig-port-dst", String(port)];
  const reply = ["--reply-src", endpointIP, "--reply-port-src", String(endpointPort)];
  return ["conntrack", "-D", "-f", "ipv4", "-p", "udp", ...original, ...reply];
}

export class ConntrackReconciler {
  readonly #exec: Exec;
  readonly #log: Logger;
  #isMissing = false;
  #reconciled: UDPBackends = new Map();
  #isFirst = true;
  /** Groups of flows deleted so far. */
  deleted = 0;

  constructor(exec: Exec, log: Logger) {
    this.#exec = exec;
    this.#log = log;
  }

  /** Deletes what is stale, if any UDP endpoint changed since the last time. Never rejects: a failure is tried again. */
  async reconcile(backends: UDPBackends): Promise<void> {
    if (this.#isMissing || (!this.#isFirst && isEqual(backends, this.#reconciled))) return;
    // A Service that is gone keeps its flows out too: whatever it had is stale.
    const judged = new Map([
      ...[...this.#reconciled.keys()].map((key) => [key, new Set<string>()] as const),
      ...backends,
    ]);
    try {
      if (judged.size > 0) await this.#deleteStale(judged);
      this.#reconciled = backends;
      this.#isFirst = false;
    } catch (error) {
      this.#isMissing = error instanceof ProxyError && error.code === "CommandMissing";
      const hint = this.#isMissing ? "stale UDP flows end by timeout only (install conntrack)" : "tried again later";
      this.#log.warn("Cannot reconcile conntrack", { error: messageOf(error), hint });
    }
  }

  async #deleteStale(backends: UDPBackends): Promise<void> {
    const { exitCode, stdout, stderr } = await this.#exec(["conntrack", "-L", "-f", "ipv4", "-p", "udp"]);
    if (exitCode !== 0) throw new ProxyError("CommandFailed", `Cannot list conntrack: ${stderr.trim().slice(0, 300)}`);
    for (const flows of planStaleFlows(stdout, backends)) {
      // A non-zero status says that the flow ended by itself meanwhile: what was wanted.
      const { exitCode } = await this.#exec(deleteCommand(flows));
      if (exitCode === 0) this.deleted++;
    }
  }
}

function isEqual(a: UDPBackends, b: UDPBackends): boolean {
  if (a.size !== b.size) return false;
  for (const [key, set] of a) if (b.get(key)?.symmetricDifference(set).size !== 0) return false;
  return true;
}
