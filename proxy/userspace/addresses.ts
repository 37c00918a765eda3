/**
 * The addresses of Services that this node gets for the userspace mode: on `lo`, each of one address and known as ours.
 *
 *   proxy.ts ─▶ LoopbackAddresses ─▶ `ip addr add ADDRESS/32 dev lo metric …`
 *   the next proxy, --cleanup ─▶ what a killed one left
 *
 * Ours carry a metric that nothing else uses, so that an address of somebody else is never removed.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Exec } from "../l4/exec.ts";
import { familyOf } from "../l4/ip.ts";

/** "whry" in ASCII. A metric means nothing on `lo`; both families keep it. */
const ownMetric = 0x77_68_72_79;

export class LoopbackAddresses {
  readonly #exec: Exec;
  readonly #own = new Set<string>();
  /** Who needs an address that is one of a Service. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #heldBy = new Map<string, ReadonlySet<string>>();

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /** Takes over what a proxy before left. */
  async adopt(): Promise<void> {
    for (const address of await listOwn(this.#exec)) this.#own.add(address);
  }

  /** Gives this node the addresses, for `holder`, which needs no others. Where that is not allowed, nothing happens. */
  async hold(holder: string, addresses: ReadonlySet<string>): Promise<void> {
    for (const address of this.#heldBy.get(holder) ?? []) {
      const holders = this.#holders.get(address);
      if (!addresses.has(address) && holders?.delete(holder) === true && holders.size === 0)
        this.#holders.delete(address);
    }
    if (addresses.size === 0) this.#heldBy.delete(holder);
    else this.#heldBy.set(holder, addresses);
    for (const address of addresses) {
      const holders = this.#holders.get(address);
      if (holders !== undefined) holders.add(holder);
      else this.#holders.set(address, new Set([holder]));
      if (this.#own.has(address) || (await isHere(address))) continue;
      if (await change(this.#exec, "add", address)) this.#own.add(address);
    }
  }

  /** Removes those of ours that nobody needs. */
  async dropUnused(): Promise<void> {
    await this.#drop([...this.#own].filter((address) => !this.#holders.has(address)));
  }

  async dropAll(): Promise<void> {
    await this.#drop([...this.#own]);
  }

  async #drop(addresses: readonly string[]): Promise<void> {
    for (const address of addresses) {
      this.#own.delete(address);
      await change(this.#exec, "del", address);
    }
  }
}

/** Removes every address that a proxy of this mode left, in this network namespace. */
export async function removeAddresses(exec: Exec): Promise<void> {
  for (const address of await listOwn(exec)) await change(exec, "del", address);
}

interface Shown {
  readonly local?: string;
  readonly metric?: number;
}

async function listOwn(exec: Exec): Promise<readonly string[]> {
  // No `ip`: nothing was put there.
  const result = await exec(["ip", "-j", "addr", "show", "dev", "lo"]).catch(() => undefined);
  if (result?.exitCode !== 0 || result.stdout.trim() === "") return [];
  const links = JSON.parse(result.stdout) as readonly { readonly addr_info?: readonly Shown[] }[];
  const shown = links.flatMap(({ addr_info = [] }) => addr_info);
  return shown.flatMap(({ local, metric }) => (metric === ownMetric && local !== undefined ? [local] : []));
}

async function change(exec: Exec, verb: "add" | "del", address: string): Promise<boolean> {
  const bits = familyOf(address) === "IPv4" ? 32 : 128;
  const metric = verb === "add" ? ["metric", String(ownMetric)] : [];
  // An IPv6 address could not be listened on before its duplicates were looked for.
  const nodad = verb === "add" && bits === 128 ? ["nodad"] : [];
  const result = await exec(["ip", "addr", verb, `${address}/${bits}`, "dev", "lo", ...metric, ...nodad])
    // No `ip`: as if it had refused.
    .catch(() => undefined);
  return result?.exitCode === 0;
}

/** Whether the node has the address, by whatever means: whether one may listen there. */
async function isHere(address: string): Promise<boolean> {
  const socket = createSocket(familyOf(address) === "IPv4" ? "udp4" : "udp6");
  try {
    socket.bind({ address, port: 0, exclusive: true });
    await once(socket, "listening");
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}
