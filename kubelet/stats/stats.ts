/**
 * The node's statistics, measured when somebody asks and not before.
 *
 *   GET /stats/summary ─▶ summary(): a sample now, against one of before ─▶ rates
 *
 * The first who asks waits a moment for a second sample; who asks again soon is told what was told before. Nothing runs
 * while nobody asks.
 */
import { join } from "node:path";
import { formatTime, formatKey, type ObjectKey } from "#api/meta.ts";
import type { ContainerStats, CPUStats, MemoryStats, PodStats, StatsSummary } from "#api/wire/stats.ts";
import type { Clock } from "#lib/clock.ts";
import type { Cgroups } from "../cgroups.ts";
import { readOptional } from "../pod-dirs.ts";
import type { Runtime } from "../runtime.ts";
import type { PodView } from "../status.ts";
import { readMachineUsage } from "./machine-usage.ts";
import { type Usage, readUsage } from "./processes.ts";

/** Shortest window of a rate, in ms; within it the last answer is given again. */
const windowMinMs = 500;
/** A sample older than this says nothing of now, in ms. */
const windowMaxMs = 60_000;

export interface SeenPod {
  readonly key: ObjectKey;
  readonly uid: string;
  readonly view: PodView;
}

interface Sample {
  readonly atMs: number;
  readonly node: Usage;
  /** By `UID/NAME/ATTEMPT`. */
  readonly containers: ReadonlyMap<string, Usage>;
}

export interface StatsOptions {
  readonly clock: Clock;
  readonly cgroups: Pick<Cgroups, "groupOf">;
  readonly runtime: Pick<Runtime, "init">;
  readonly nodeName: string;
}

export class Stats {
  readonly #options: StatsOptions;
  #before: Sample | undefined;
  #latest: Promise<StatsSummary> | undefined;
  #latestAtMs = -Infinity;

  constructor(options: StatsOptions) {
    this.#options = options;
  }

  /** What is used now; the CPU over the time since the last sample. */
  summary(pods: readonly SeenPod[]): Promise<StatsSummary> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#latest !== undefined && nowMs - this.#latestAtMs < windowMinMs) return this.#latest;
    this.#latestAtMs = nowMs;
    this.#latest = this.#measure(pods);
    return this.#latest;
  }

  async #measure(pods: readonly SeenPod[]): Promise<StatsSummary> {
    const { clock, nodeName } = this.#options;
    let before = this.#before;
    if (before === undefined || clock.monotonicMs() - before.atMs > windowMaxMs) {
      before = this.#sample(pods);
      await clock.sleep(windowMinMs);
    }
    const now = this.#sample(pods);
    this.#before = now;
    const time = formatTime(clock.nowMs());
    const windowMs = now.atMs - before.atMs;
    const rate = (usage: Usage, earlier: Usage): { cpu: CPUStats; memory: MemoryStats } => ({
      cpu: {
        time,
        usageNanoCores: Math.round((Math.max(0, usage.cpuNs - earlier.cpuNs) * 1000) / windowMs),
        usageCoreNanoSeconds: usage.cpuNs,
      },
      memory: { time, workingSetBytes: usage.memory },
    });
    const podStats = pods.map(({ key, uid, view }): PodStats => {
      const containers = view.containers.flatMap((container): ContainerStats[] => {
        const id = idOf(uid, container);
        const usage = now.containers.get(id);
        const earlier = before.containers.get(id);
        return usage === undefined || earlier === undefined ? [] : [{ name: container.name, ...rate(usage, earlier) }];
      });
      return { podRef: { name: key.name, namespace: key.namespace ?? "default", uid }, containers };
    });
    return { node: { nodeName, ...rate(now.node, before.node) }, pods: podStats };
  }

  #sample(pods: readonly SeenPod[]): Sample {
    const { clock, cgroups, runtime } = this.#options;
    const containers = new Map<string, Usage>();
    const inits = new Map<string, number>();
    for (const { uid, view } of pods) {
      for (const container of view.containers.filter(({ state }) => state.kind === "running")) {
        const group = cgroups.groupOf(uid, container.name);
        if (group !== undefined) containers.set(idOf(uid, container), groupUsage(group));
        const init = group === undefined ? runtime.init(uid, container.name) : undefined;
        if (init !== undefined) inits.set(idOf(uid, container), init);
      }
    }
    if (inits.size > 0) for (const [id, usage] of readUsage(inits)) containers.set(id, usage);
    return { atMs: clock.monotonicMs(), node: readMachineUsage(), containers };
  }
}

function idOf(uid: string, { name, restarts }: { readonly name: string; readonly restarts: number }): string {
  return formatKey({ namespace: uid, name: `${name}/${restarts}` });
}

/** Usage by the files of a control group: memory less what the kernel can give back at once. */
function groupUsage(group: string): Usage {
  const micros = Number(/^usage_usec (\d+)$/m.exec(readOptional(join(group, "cpu.stat")) ?? "")?.[1] ?? 0);
  const current = Number(readOptional(join(group, "memory.current")) ?? 0);
  const stat = readOptional(join(group, "memory.stat")) ?? "";
  const inactive = Number(/^inactive_file (\d+)$/m.exec(stat)?.[1] ?? 0);
  return { cpuNs: micros * 1000, memory: Math.max(0, current - inactive) };
}
