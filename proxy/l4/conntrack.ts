/**
 * UDP and SCTP flows whose endpoint is gone: conntrack would send them there for as long as the client talks.
 *
 *   changed Flows ─▶ expect() ─▶ after the transaction, reconcile(): `conntrack -L` ─▶ findStaleFlow ─▶ `conntrack -D`
 *
 * The kernel's table is compared, not events; flows to endpoints that still serve are kept, also over a restart
 * (kubernetes#122740, #139628). A flow that began before the Service was there, and so was not translated, is stale as
 * well. What a pass could not judge or delete stays due, and another pass follows by itself.
 */
import { backoffMs, type BackoffConfig, noJitter } from "#lib/backoff.ts";
import type { Clock, Timer } from "#lib/clock.ts";
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

/** Deletions in one pass, each a program that runs. What is beyond is judged again in another one. */
const deletionsMax = 4096;
/** Before a pass that failed, or found more than it may delete, is followed by another one. */
const backoff: BackoffConfig = { baseMs: 1000, maxMs: 60_000 };

/**
 * The stale flow in a line of `conntrack -L`. Lines carry the original tuple, then the reply tuple:
 * `udp 17 29 src=10.244.1.2 dst=10.96.1.1 sport=999 dport=53 src=10.244.1.5 dst=10.244.1.2 sport=5353 dport=999 …`
 */
export function findStaleFlow(
  line: string,
  flows: Flows,
  isNodeAddress: (address: string) => boolean = () => false,
): StaleFlows | undefined {
  const protocol = line.slice(0, line.indexOf(" "));
  const destinations = [...line.matchAll(/\bdst=([0-9a-f.:]+) sport=[0-9]+ dport=([0-9]+)/g)];
  const sources = [...line.matchAll(/\bsrc=([0-9a-f.:]+) dst=[0-9a-f.:]+ sport=([0-9]+)/g)];
  const [, address = "", port = ""] = destinations[0] ?? [];
  const [, endpointIP = "", endpointPort = ""] = sources[1] ?? [];
  if (endpointIP === "") return undefined;
  const keeping =
    flows.get(`${protocol} ${address}:${port}`) ??
    (isNodeAddress(address) ? flows.get(`${protocol} *:${port}`) : undefined);
  if (keeping === undefined || keeping.has(`${endpointIP}:${endpointPort}`)) return undefined;
  return { protocol, address, port: Number(port), endpointIP, endpointPort: Number(endpointPort) };
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
  readonly clock: Clock;
}

const nobody: ReadonlySet<string> = new Set();

export class ConntrackReconciler {
  readonly #options: ReconcilerOptions;
  #state: "open" | "missing" | "closed" = "open";
  /** What changed, and is not in the kernel's rules yet. */
  #changed = new Map<string, ReadonlySet<string>>();
  /** What is to be judged in the next pass. */
  #due = new Map<string, ReadonlySet<string>>();
  #tail: Promise<void> = Promise.resolve();
  #attempts = 0;
  #again: Timer | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Says that one Service's flows may go to `after` from now on. What is the same is not looked at. */
  expect(before: Flows, after: Flows): void {
    for (const [key, backends] of after) {
      const known = before.get(key);
      if (known === undefined || known.symmetricDifference(backends).size > 0) this.#changed.set(key, backends);
    }
    // A Service that is gone keeps its flows out too: whatever it had is stale.
    for (const key of before.keys()) if (!after.has(key)) this.#changed.set(key, nobody);
  }

  /** What was expected since the last time: for `reconcile`, once the rules say the same. */
  takeChanged(): Flows {
    const changed = this.#changed;
    this.#changed = new Map();
    return changed;
  }

  /**
   * Deletes what is stale of `changed`, and of what is due still. One pass after the other; never rejects: a failure is
   * tried again.
   */
  reconcile(changed: Flows): Promise<void> {
    for (const [key, backends] of changed) this.#due.set(key, backends);
    return (this.#tail = this.#tail.then(() => this.#pass()));
  }

  /** No pass follows by itself any more. */
  close(): void {
    this.#state = "closed";
    this.#again?.cancel();
  }

  async #pass(): Promise<void> {
    const { log, observe, clock } = this.#options;
    if (this.#state !== "open" || this.#due.size === 0) return;
    this.#again?.cancel();
    const judged = this.#due;
    this.#due = new Map();
    const startMs = clock.monotonicMs();
    try {
      const { deleted, isAll } = await this.#deleteStale(judged);
      observe({ deleted, ms: clock.monotonicMs() - startMs });
      this.#attempts = 0;
      if (!isAll) this.#keep(judged);
    } catch (error) {
      const isMissing = error instanceof ProxyError && error.code === "CommandMissing";
      if (isMissing) this.#state = "missing";
      else this.#keep(judged);
      const hint = isMissing ? "stale UDP flows end by timeout only (install conntrack)" : "tried again";
      log.warn("Cannot reconcile conntrack", { error: messageOf(error), hint });
    }
  }

  /** Judges it again in a while, but for what changed meanwhile. */
  #keep(judged: Flows): void {
    if (this.#state !== "open") return;
    this.#due = new Map([...judged, ...this.#due]);
    const delayMs = backoffMs(this.#attempts++, backoff, noJitter);
    this.#again = this.#options.clock.after(delayMs, () => void this.reconcile(new Map()));
  }

  async #deleteStale(flows: Flows): Promise<{ readonly deleted: number; readonly isAll: boolean }> {
    const { exec, family } = this.#options;
    let deleted = 0;
    const stale = await this.#listStale(flows);
    for (const each of stale.slice(0, deletionsMax)) {
      // A non-zero status says that the flow ended by itself meanwhile: what was wanted.
      const result = await exec(deleteCommand(each, family));
      if (result.exitCode === 0) deleted++;
    }
    return { deleted, isAll: stale.length <= deletionsMax };
  }

  /** No more than one beyond what a pass may delete. */
  async #listStale(flows: Flows): Promise<readonly StaleFlows[]> {
    const { exec, family, isNodeAddress } = this.#options;
    const stale = new Map<string, StaleFlows>();
    const judge = (line: string): void => {
      const found = stale.size > deletionsMax ? undefined : findStaleFlow(line, flows, isNodeAddress);
      if (found !== undefined) stale.set(Object.values(found).join(" "), found);
    };
    for (const protocol of new Set([...flows.keys()].map((key) => key.slice(0, key.indexOf(" "))))) {
      const command = ["conntrack", "-L", "-f", family.toLowerCase(), "-p", protocol];
      const { exitCode, stderr } = await exec(command, "", judge);
      if (exitCode !== 0)
        throw new ProxyError("CommandFailed", `Cannot list conntrack: ${stderr.trim().slice(0, 300)}`);
    }
    return [...stale.values()];
  }
}
