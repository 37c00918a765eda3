/**
 * Brings one pod from its object to running processes, and ends it.
 *
 *   Pod object, exits, probes, time ─▶ step ─▶ effects: sandbox, containers, signals ─▶ step …  (pod-phase.ts)
 *
 * Invariant: only `step` decides; every effect ends in a new `step`. Containers of a pod with a mesh sidecar start
 * after it listens and end before it goes. A pod that has ended never starts anything again.
 */
import type { Pod } from "#api/core/pod.ts";
import { type ObjectKey, keyOf } from "#api/meta.ts";
import { messageOf } from "#lib/errors.ts";
import { ContainerRunner, type PodContext } from "./container-runner.ts";
import { type ContainerView, type RestartPolicy, createdContainer } from "./container-state.ts";
import { earlierRuns } from "./earlier-runs.ts";
import { KubeletError } from "./errors.ts";
import { isUp, outcomeOf, startable, stoppable } from "./pod-actions.ts";
import type { PodRecord } from "./pod-dirs.ts";
import type { PodPhase } from "./pod-phase.ts";
import type { References } from "./references.ts";
import { finishSandbox, furnish, makeNetwork, refresh, removeSandbox } from "./sandbox.ts";
import type { PodFailure, PodView } from "./status.ts";
import { StepTimer } from "./step-timer.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** How long a pod that was ready serves on after its deletion, so that it leaves every proxy first, in ms. */
const drainMs = 1500;

const deadlineExceeded: PodFailure = {
  reason: "DeadlineExceeded",
  message: "Pod was active on the node longer than the specified deadline",
};

export class PodWorker {
  #pod: Pod;
  readonly #uid: string;
  readonly #deps: WorkerDependencies;
  #phase: PodPhase = { kind: "starting", busy: false, notBeforeMs: 0, failures: 0 };
  readonly #containers = new Map<string, ContainerRunner>();
  readonly #context: PodContext;
  readonly #startedAtMs: number;
  readonly #createdAtMs: number;
  #podIP: string | undefined;
  #deleted = false;
  #graceMs: number | undefined;
  #failure: PodFailure | undefined;
  readonly #timer: StepTimer;

  constructor(pod: Pod, deps: WorkerDependencies) {
    this.#pod = pod;
    this.#uid = pod.metadata.uid ?? "";
    this.#deps = deps;
    const startTime = Date.parse(pod.status?.startTime ?? "");
    this.#startedAtMs = Number.isNaN(startTime) ? deps.clock.nowMs() : startTime;
    this.#createdAtMs = deps.clock.monotonicMs() - Math.max(0, deps.clock.nowMs() - this.#startedAtMs);
    this.#timer = new StepTimer(deps.clock, () => this.step());
    this.#context = {
      pod: () => this.#pod,
      podIP: () => this.#podIP ?? "",
      step: () => this.step(),
      changed: () => deps.changed(this),
    };
    const times = { nowMs: deps.clock.nowMs(), monotonicMs: deps.clock.monotonicMs() };
    for (const view of earlierRuns(pod, times))
      this.#containers.set(view.name, new ContainerRunner(view, this.#context, deps));
  }

  get uid(): string {
    return this.#uid;
  }

  /** Undefined while it has no network. */
  get podIP(): string | undefined {
    return this.#podIP;
  }

  get key(): ObjectKey {
    return keyOf(this.#pod);
  }

  get isGone(): boolean {
    return this.#phase.kind === "gone";
  }

  /** The newest object. A deletion shows in its deletionTimestamp. */
  update(pod: Pod): void {
    const { labels, annotations } = this.#pod.metadata;
    const changed =
      JSON.stringify([labels, annotations]) !== JSON.stringify([pod.metadata.labels, pod.metadata.annotations]);
    this.#pod = pod;
    if (changed) void this.refresh();
    if (pod.metadata.deletionTimestamp === undefined) return this.step();
    const seconds = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
    this.#end(seconds * 1000);
  }

  /** The object is gone from the API server: end without waiting. */
  objectRemoved(): void {
    this.#end(0);
  }

  /** Brings the files of its volumes up to date. */
  async refresh(references: References = this.#deps.references): Promise<void> {
    if (this.#phase.kind === "running") await refresh(this.#pod, references, this.#deps);
  }

  /**
   * Takes over what an earlier kubelet made; `update` or `objectRemoved` must follow. A pod that it had not furnished
   * has no containers, and is started from its network on.
   */
  adopt(record: PodRecord): void {
    if (!record.furnished) return;
    this.#podIP = record.podIP;
    this.#phase = record.finished === true ? { kind: "finished" } : { kind: "running" };
    // What runs is not held up; but its address may not have been told to anybody yet.
    if (record.finished !== true) void this.#deps.policies.admit(this.#pod, record.podIP).catch(() => undefined);
    const { status } = this.#pod;
    if (status?.reason === deadlineExceeded.reason) this.#failure = deadlineExceeded;
    for (const { container, exit } of this.#deps.runtime.adopt(this.#uid)) {
      // Without an object there is no list of containers: what runs must be ended all the same.
      const known = this.#containers.get(container.name);
      const runner = known ?? new ContainerRunner(createdContainer(container.name), this.#context, this.#deps);
      this.#containers.set(container.name, runner);
      runner.adopt(container, exit);
    }
  }

  view(): PodView {
    const { kind } = this.#phase;
    const hasEnded = kind === "finishing" || kind === "finished" || kind === "removing" || kind === "gone";
    return {
      podIP: this.#podIP,
      hostIP: this.#deps.hostIP,
      startedAtMs: this.#startedAtMs,
      sandboxReady: kind === "running" || kind === "draining" || kind === "stopping",
      terminating: kind === "stopping" || hasEnded,
      hasEnded,
      failure: this.#failure,
      containers: this.#views(),
    };
  }

  /** Does what is due now, and sets the timer for what is due next. */
  step(): void {
    this.#timer.clear();
    const nowMs = this.#deps.clock.monotonicMs();
    this.#watchDeadline(nowMs);
    const phase = this.#phase;
    switch (phase.kind) {
      case "starting":
        if (phase.busy) break;
        if (this.#deleted) return void this.#remove();
        // Over already: what ran of it was lost with an earlier sandbox, and is not run again.
        if (this.#failure !== undefined || outcomeOf(this.#views(), this.#policy) !== undefined)
          return void this.#finish();
        if (phase.notBeforeMs > nowMs) this.#timer.at(phase.notBeforeMs);
        else void this.#start(phase.failures);
        break;

      // Running => (Running | Stopping). All over: the sidecars are told to end.
      case "running":
        if (this.#failure !== undefined || outcomeOf(this.#views(), this.#policy) !== undefined)
          return this.#stop(nowMs + this.#podGraceMs());
        this.#runContainers(nowMs);
        break;

      case "draining":
        if (phase.untilMs > nowMs) this.#timer.at(phase.untilMs);
        else return this.#stop(nowMs + (this.#graceMs ?? 0));
        break;

      // Stopping => (Removing | Finishing).
      case "stopping":
        if (!this.#views().some(isUp)) return void (this.#deleted ? this.#remove() : this.#finish());
        this.#stopContainers(phase.killAtMs, nowMs);
        break;

      case "finished":
        if (this.#deleted) return void this.#remove();
        break;

      case "finishing":
      case "removing":
      case "gone":
        break;
    }
    this.#deps.changed(this);
  }

  get #policy(): RestartPolicy {
    return this.#pod.spec.restartPolicy ?? "Always";
  }

  #views(): ContainerView[] {
    return [...this.#containers.values()].map(({ view }) => view);
  }

  #podGraceMs(): number {
    return (this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  /** (Starting | Running) => the end, when activeDeadlineSeconds are over. */
  #watchDeadline(nowMs: number): void {
    const { activeDeadlineSeconds } = this.#pod.spec;
    const { kind } = this.#phase;
    if (activeDeadlineSeconds === undefined || this.#failure !== undefined || this.#deleted) return;
    if (kind !== "starting" && kind !== "running") return;
    const atMs = this.#createdAtMs + activeDeadlineSeconds * 1000;
    if (atMs > nowMs) return this.#timer.at(atMs);
    this.#failure = deadlineExceeded;
    this.#deps.recorder.record(this.#pod, "Normal", deadlineExceeded.reason, deadlineExceeded.message);
  }

  // Starting => (Running | Starting later). A network once made is kept: the sidecar listens in it.
  async #start(failures: number): Promise<void> {
    const { clock, log } = this.#deps;
    this.#phase = { kind: "starting", busy: true, notBeforeMs: 0, failures };
    try {
      this.#podIP ??= await makeNetwork(this.#pod, this.#deps);
      await furnish(this.#pod, this.#podIP, this.#deps);
      this.#phase = { kind: "running" };
    } catch (error) {
      const delayMs = Math.min(500 * 2 ** failures, 30_000);
      log.warn("Pod cannot start", { pod: this.#pod.metadata.name, error: messageOf(error), delayMs });
      this.#explainAll(error);
      const notBeforeMs = clock.monotonicMs() + delayMs;
      this.#phase = { kind: "starting", busy: false, notBeforeMs, failures: failures + 1 };
    }
    if (this.#deleted && this.#phase.kind === "running") this.#phase = { kind: "draining", untilMs: 0 };
    this.step();
  }

  /** Its containers wait, as with the reference kubelet under this one reason; an event says what for. */
  #explainAll(error: unknown): void {
    const message = messageOf(error);
    for (const runner of this.#containers.values()) runner.explain("ContainerCreating", message);
    const isMount = error instanceof KubeletError && error.code === "FailedMount";
    const reason = isMount ? "FailedMount" : "FailedCreatePodSandBox";
    this.#deps.recorder.record(
      this.#pod,
      "Warning",
      reason,
      isMount ? message : `Failed to create pod sandbox: ${message}`,
    );
  }

  #runContainers(nowMs: number): void {
    for (const name of startable(this.#views(), this.#policy)) {
      const untilMs = this.#containers.get(name)?.step(nowMs);
      if (untilMs !== undefined) this.#timer.at(untilMs);
    }
  }

  // (Starting | Running | Draining) => Draining. A later, shorter grace period shortens what is left.
  #end(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs ?? Infinity, graceMs);
    const nowMs = this.#deps.clock.monotonicMs();
    this.#deleted = true;
    if (this.#phase.kind === "stopping")
      this.#phase = { kind: "stopping", killAtMs: Math.min(this.#phase.killAtMs, nowMs + graceMs) };
    const served = this.#views().some(({ state }) => state.kind === "running" && state.started && state.ready);
    const drainedAtMs = nowMs + (served ? Math.min(drainMs, graceMs) : 0);
    if (this.#phase.kind === "running") this.#phase = { kind: "draining", untilMs: drainedAtMs };
    else if (this.#phase.kind === "draining")
      this.#phase = { kind: "draining", untilMs: Math.min(this.#phase.untilMs, drainedAtMs) };
    this.step();
  }

  // (Running | Draining) => Stopping.
  #stop(killAtMs: number): void {
    this.#phase = { kind: "stopping", killAtMs };
    this.step();
  }

  #stopContainers(killAtMs: number, nowMs: number): void {
    for (const name of stoppable(this.#views()))
      this.#containers.get(name)?.stop(Math.max(0, killAtMs - nowMs), `Stopping container ${name}`);
  }

  // (Starting | Stopping) => Finishing => Finished. The object stays; so do its logs.
  async #finish(): Promise<void> {
    this.#phase = { kind: "finishing" };
    this.#deps.changed(this);
    await finishSandbox(this.#pod, this.#deps);
    this.#phase = { kind: "finished" };
    this.step();
  }

  // (Stopping | Finished) => Removing => Gone.
  async #remove(): Promise<void> {
    this.#phase = { kind: "removing" };
    this.#deps.changed(this);
    await removeSandbox(this.#pod, this.#deps);
    this.#phase = { kind: "gone" };
    this.#deps.gone(this, this.#pod);
  }
}
