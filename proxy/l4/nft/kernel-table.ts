/**
 * One table as the kernel has it: runs the transactions that change it, replace it, and ask whether it is there.
 *
 *   apply.ts ─ when ─▶ KernelTable ─ transactions.ts ─▶ `nft -f -`
 *
 * Invariants: what is in the kernel is never listed; it is what was written last, or not known. After `close()` nothing
 * is written any more, for another proxy writes then.
 */
import { ProxyError } from "../../errors.ts";
import type { Exec } from "../exec.ts";
import type { TableNames } from "./names.ts";
import { explainRefusal } from "./refusal.ts";
import { Retired } from "./retired.ts";
import type { Delta } from "./table.ts";
import { isSmall, planChange, planCheck, planSweep, planWhole } from "./transactions.ts";
import type { Skeleton } from "./types.ts";

export interface KernelTableOptions {
  readonly exec: Exec;
  readonly skeleton: Skeleton;
  readonly names: TableNames;
  /** A transaction begins, and has ended. */
  readonly touching: (isTouching: boolean) => void;
}

export class KernelTable {
  readonly #options: KernelTableOptions;
  /** The name under which the kernel holds what was written last; undefined when that is not known. */
  #live: string | undefined;
  /** Where it was last, for what replaces it. */
  #lastLive: string | undefined;
  #retired = new Retired();
  #isClosed = false;
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: KernelTableOptions) {
    this.#options = options;
  }

  /** Whether the kernel holds what was written last, as far as is known. */
  get isKnown(): boolean {
    return this.#live !== undefined;
  }

  /** Whether anything waits for `sweep()`. */
  get hasRetired(): boolean {
    return !this.#retired.isEmpty;
  }

  /** From now on it is not known. */
  forget(): void {
    this.#live = undefined;
  }

  /** Puts `whole` there in place of whatever is there. Rejects with a ProxyError: what served goes on serving then. */
  async replace(whole: Delta): Promise<void> {
    const { names, skeleton } = this.#options;
    const longest = names.reduce((a, b) => (a.length < b.length ? b : a));
    const isAtOnce = skeleton.isBarrier !== true && isSmall(this.#named(longest), skeleton, whole);
    const target = isAtOnce ? (this.#lastLive ?? names[0]) : await this.#spareName();
    const others = names.filter((name) => name !== target).map((name) => this.#named(name));
    await this.#runAll(planWhole(this.#named(target), others, skeleton, whole));
    this.#live = target;
    this.#lastLive = target;
    this.#retired = new Retired();
  }

  /** Makes a change in what is there. Rejects with a ProxyError. */
  async change(delta: Delta): Promise<void> {
    const { collections } = this.#options.skeleton;
    await this.#runAll(planChange(this.#table(), collections, this.#retired.hold(collections, delta)));
  }

  /** Does something else to what is there. Rejects with a ProxyError. */
  async tell(text: (table: string) => string): Promise<void> {
    await this.#run(text(this.#table()));
  }

  /** Deletes what nothing names any more. Rejects with a ProxyError; what was not deleted leads nowhere. */
  async sweep(): Promise<void> {
    const retired = this.#retired;
    this.#retired = new Retired();
    await this.#runAll(planSweep(this.#table(), retired));
  }

  /** What is wrong with what is there; undefined when every base chain has its rules. Rejects with a ProxyError. */
  async findFault(): Promise<string | undefined> {
    const { text, refusals } = planCheck(this.#table(), this.#options.skeleton);
    const { stderr } = await this.#options.exec(["nft", "-f", "-"], text);
    const errors = stderr.split("\n").filter((line) => line.includes("Error: "));
    const others = errors.filter((line) => !/busy/i.test(line));
    return errors.length - others.length < refusals ? (others[0]?.slice(0, 300) ?? "its rules are gone") : undefined;
  }

  /** The name under which an earlier proxy left a table: this once, names are listed. Rejects with a ProxyError. */
  async findLeft(): Promise<string | undefined> {
    const { exec, names, skeleton } = this.#options;
    const { stdout } = await exec(["nft", "list", "tables", skeleton.family]);
    const found = stdout.split("\n").map((line) => line.trim());
    return names.find((name) => found.includes(`table ${this.#named(name)}`));
  }

  /** Resolves when the last transaction has ended; none begins after this. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#running);
  }

  /** The name that does not serve. */
  async #spareName(): Promise<string> {
    const { names } = this.#options;
    const serving = this.#lastLive ?? (await this.findLeft());
    return serving === names[0] ? names[1] : names[0];
  }

  #table(): string {
    if (this.#live === undefined)
      throw new ProxyError("CommandFailed", "Cannot change the table: not known what it is");
    return this.#named(this.#live);
  }

  #named(name: string): string {
    return `${this.#options.skeleton.family} ${name}`;
  }

  /** Runs texts one by one. Of a generator that is shared, each takes what the others do not; a failure ends all. */
  async #runAll(texts: Iterable<string>): Promise<void> {
    for (const text of texts) await this.#run(text);
  }

  async #run(text: string): Promise<void> {
    if (this.#isClosed) throw new ProxyError("CommandFailed", "Cannot apply nft transaction: closed");
    const { exec, touching } = this.#options;
    touching(true);
    const result = exec(["nft", "-f", "-"], text);
    this.#running.add(result);
    try {
      const { exitCode, stderr } = await result;
      if (exitCode === 0) return;
      throw new ProxyError("CommandFailed", `Cannot apply nft transaction: ${explainRefusal(stderr)}`);
    } finally {
      this.#running.delete(result);
      touching(false);
    }
  }
}
