/**
 * UDP and SCTP flows whose endpoint is gone: conntrack would send them there for as long as the client talks.
 *
 *   changed Flows ─▶ expect() ─▶ after the transaction, reconcile(): `conntrack -L` ─▶ planStaleFlows (pure) ─▶ `conntrack -D`
 *
 * The kernel's table is compared, not events, so that nothing that was missed stays stale; flows to endpoints that
 * still serve are kept, also over a restart (kubernetes#122740, #139628). A flow that began before the Service was
 * there, and so was not translated, is stale as well.
 */
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { ProxyError } from "../errors.ts";
import type { Exec } from "./exec.ts";
import type { Family } from "./ip.ts";
import type { Flows } from "./service-plan.ts";

/** All flows of one client-side destination that go to one endpoint that must not have them. */
export interface StaleFlows {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  readonly endpointIP: string;
  readonly endpointPort: number;
}

/** Deletions in one pass. What is beyond goes with the next pass, or with the kernel's own timeout. */
const deletionsMax = 4096;

/**
 * The stale flows in a listing of `conntrack -L`. Lines carry the original tuple, then the reply tuple:
 * `udp 17 29 src=10.244.1.2 dst=10.96.1.1 sport=999 dport=53 src=10.244.1.5 dst=10.244.1.2 sport=5353 dport=999 …`
 */
export function planStaleFlows(
  listing: string,
  flows: Flows,
  isNodeAddress: (address: string) => boolean = () => false,
): readonly StaleFlows[] {
  const stale = new Map<string, StaleFlows>();
  for (const line of listing.split("\n")) {
    const protocol = line.slice(0, line.indexOf(" "));
    const destinations = [...line.matchAll(/\bdst=([0-9a-f.:]+) sport=[0-9]+ dport=([0-9]+)/g)];
    const sources = [...line.matchAll(/\bsrc=([0-9a-f.:]+) dst=[0-9a-f.:]+ sport=([0-9]+)/g)];
    const [, address = "", port = ""] = destinations[0] ?? [];
    const [, endpointIP = "", endpointPort = ""] = sources[1] ?? [];
    if (endpointIP === "") continue;
    const keeping =
      flows.get(`${protocol} ${address}:${port}`) ??
      (isNodeAddress(address) ? flows.get(`${protocol} *:${port}`) : undefined);
    if (keeping === undefined || keeping.has(`${endpointIP}:${endpointPort}`)) continue;
    const found = { protocol, address, port: Number(port), endpointIP, endpointPort: Number(endpointPort) };
    stale.set(Object.values(found).join(" "), found);
    if (stale.size >= deletionsMax) break;
  }
  return [...stale.values()];
}

/** The arguments that delete stale flows. */
export function deleteCommand(flows: StaleFlows, family: Family = "IPv4"): readonly string[] {
  const { protocol, address, port, endpointIP, endpointPort } = flows;
  const original = ["--orig-dst", address, "--orig-port-dst", String(port)];
  const reply = ["--reply-src", endpointIP, "--reply-port-src", String(endpointPort)];
  return ["conntrack", "-D", "-f", family.toLowerCase(), "-p", protocol, ...original, ...reply];
}

export interface ReconcilerOptions {
  readonly exec: Exec;
  readonly log: Logger;
  readonly family: Family;
  readonly isNodeAddress: (address: string) => boolean;
  /** How long each pass took, in ms, and how many groups of flows it deleted. */
  readonly observe: (result: { readonly ms: number; readonly deleted: number }) => void;
  readonly monotonicMs: () => number;
}

const nobody: ReadonlySet<string> = new Set();

export class ConntrackReconciler {
  readonly #options: ReconcilerOptions;
  #isMissing = false;
  /** What is to be judged in the next pass. */
  #pending = new Map<string, ReadonlySet<string>>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Says that one Service's flows may go to `after` from now on. What is the same is not looked at. */
  expect(before: Flows, after: Flows): void {
    for (const [key, backends] of after) {
      const known = before.get(key);
      if (known === undefined || known.symmetricDifference(backends).size > 0) this.#pending.set(key, backends);
    }
    // A Service that is gone keeps its flows out too: whatever it had is stale.
    for (const key of before.keys()) if (!after.has(key)) this.#pending.set(key, nobody);
  }

  /** Deletes what is stale, if anything changed since the last time. Never rejects: a failure is tried again. */
  async reconcile(): Promise<void> {
    const { log, observe, monotonicMs } = this.#options;
    if (this.#isMissing || this.#pending.size === 0) return;
    const judged = this.#pending;
    this.#pending = new Map();
    const startMs = monotonicMs();
    try {
      observe({ deleted: await this.#deleteStale(judged), ms: monotonicMs() - startMs });
    } catch (error) {
      this.#pending = new Map([...judged, ...this.#pending]);
      this.#isMissing = error instanceof ProxyError && error.code === "CommandMissing";
      const hint = this.#isMissing ? "stale UDP flows end by timeout only (install conntrack)" : "tried again later";
      log.warn("Cannot reconcile conntrack", { error: messageOf(error), hint });
    }
  }

  async #deleteStale(flows: Flows): Promise<number> {
    const { exec, family, isNodeAddress } = this.#options;
    let deleted = 0;
    for (const protocol of new Set([...flows.keys()].map((key) => key.slice(0, key.indexOf(" "))))) {
      const { exitCode, stdout, stderr } = await exec(["conntrack", "-L", "-f", family.toLowerCase(), "-p", protocol]);
      if (exitCode !== 0)
        throw new ProxyError("CommandFailed", `Cannot list conntrack: ${stderr.trim().slice(0, 300)}`);
      for (const stale of planStaleFlows(stdout, flows, isNodeAddress)) {
        // A non-zero status says that the flow ended by itself meanwhile: what was wanted.
        const result = await exec(deleteCommand(stale, family));
        if (result.exitCode === 0) deleted++;
      }
    }
    return deleted;
  }
}
