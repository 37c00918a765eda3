/**
 * Brings one pod from its object to running processes, and ends it.
 *
 *   Pod object, exits, probes, time ─▶ step ─▶ effects: sandbox, containers, signals ─▶ step …  (pod-phase.ts)
 * Invariant: only `step` decides; every effect ends in a new `step`. Containers of a pod with a sidecar start after it
 * listens and end before it goes.
 */
import type { Pod } from "#api/core/pod.ts";
import { keyOf, type ObjectKey } from "#api/meta.ts";
import { messageOf } from "#lib/errors.ts";
import {
  type ContainerView,
  createdContainer,
  nextAction,
  toExited,
  toExplained,
  toFailedStart,
  toRunning,
  toStarting,
} from "./container-state.ts";
import { KubeletError } from "./errors.ts";
import type { PodPhase } from "./pod-phase.ts";
import type { PodRecord } from "./pod-dirs.ts";
import { netnsPath } from "./pod-network.ts";
import { ProbeLoop } from "./probe-loop.ts";
import type { ContainerExit, RunningContainer } from "./runtime.ts";
import { containerSpec, furnish, makeNetwork, removeSandbox } from "./sandbox.ts";
import type { PodView } from "./status.ts";
import { StepTimer } from "./step-timer.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** How long a pod that was ready serves on after its deletion, so that it leaves every proxy first, in ms. */
const drainMs = 1500;

export class PodWorker {
  #pod: Pod;
  readonly #uid: string;
  readonly #deps: WorkerDependencies;
  #phase: PodPhase = { kind: "starting", busy: false, notBeforeMs: 0, failures: 0 };
  readonly #containers = new Map<string, ContainerView>();
  readonly #probes = new Map<string, ProbeLoop>();
  readonly #startedAtMs: number;
  #podIP: string | undefined;
  #deleted = false;
  #graceMs: number | undefined;
  readonly #timer: StepTimer;

  constructor(pod: Pod, deps: WorkerDependencies) {
    this.#pod = pod;
    this.#uid = pod.metadata.uid ?? "";
    this.#deps = deps;
    this.#startedAtMs = deps.clock.nowMs();
    this.#timer = new StepTimer(deps.clock, () => this.step());
    for (const { name } of pod.spec.containers) this.#containers.set(name, createdContainer(name));
  }

  get uid(): string {
    return this.#uid;
  }

  get key(): ObjectKey {
    return keyOf(this.#pod);
  }

  get isGone(): boolean {
    return this.#phase.kind === "gone";
  }

  /** The newest object. A deletion shows in its deletionTimestamp. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp === undefined) return this.step();
    const seconds = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
    this.#end(seconds * 1000);
  }

  /** The object is gone from the API server: end without waiting. */
  objectRemoved(): void {
    this.#end(0);
  }

  /**
   * Takes over what an earlier kubelet made; `update` or `objectRemoved` must follow. A pod that it had not furnished
   * has no containers, and is started from its network on.
   */
  adopt(record: PodRecord): void {
    if (!record.furnished) return;
    this.#podIP = record.podIP;
    this.#phase = { kind: "running" };
    for (const { container, exit } of this.#deps.runtime.adopt(this.#uid)) {
      // Without an object there is no list of containers: what runs must be ended all the same.
      const view = this.#containers.get(container.name) ?? createdContainer(container.name);
      const before = this.#pod.status?.containerStatuses?.find(({ name }) => name === container.name);
      const { readinessProbe } = this.#pod.spec.containers.find(({ name }) => name === container.name) ?? {};
      // Ready before, ready now: the probe speaks up within its period if that has changed.
      if (exit === undefined) this.#running(view, container, readinessProbe === undefined || before?.ready === true);
      else this.#setExited(view, container, exit);
    }
  }

  view(): PodView {
    const { kind } = this.#phase;
    return {
      podIP: this.#podIP,
      hostIP: this.#deps.hostIP,
      startedAtMs: this.#startedAtMs,
      sandboxReady: kind === "running" || kind === "draining" || kind === "stopping",
      terminating: kind === "stopping" || kind === "removing" || kind === "gone",
      containers: [...this.#containers.values()],
    };
  }

  /** Does what is due now, and sets the timer for what is due next. */
  step(): void {
    this.#timer.clear();
    const nowMs = this.#deps.clock.monotonicMs();
    const phase = this.#phase;
    switch (phase.kind) {
      case "starting":
        if (phase.busy) break;
        if (this.#deleted) return void this.#remove();
        if (phase.notBeforeMs > nowMs) this.#timer.at(phase.notBeforeMs);
        else void this.#start(phase.failures);
        break;

      case "running":
        for (const view of this.#containers.values()) this.#stepContainer(view, nowMs);
        break;

      case "draining":
        if (phase.untilMs > nowMs) this.#timer.at(phase.untilMs);
        else this.#stop(nowMs);
        break;

      case "stopping":
        if (![...this.#containers.values()].some(isUp)) return void this.#remove();
        if (phase.killAtMs > nowMs) this.#timer.at(phase.killAtMs);
        else if (!phase.killed) this.#kill();
        break;

      case "removing":
      case "gone":
        break;
    }
    this.#deps.changed(this);
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

  #explainAll(error: unknown): void {
    const reason = error instanceof KubeletError ? error.code : "FailedCreatePodSandBox";
    for (const view of this.#containers.values())
      this.#containers.set(view.name, toExplained(view, reason, messageOf(error)));
  }

  #stepContainer(view: ContainerView, nowMs: number): void {
    const action = nextAction(view, this.#pod.spec.restartPolicy ?? "Always", nowMs);
    if (action.kind === "wait") {
      this.#timer.at(action.untilMs);
    } else if (action.kind === "start") {
      this.#containers.set(view.name, toStarting(view));
      void this.#startContainer(view.name, action.attempt);
    }
  }

  async #startContainer(name: string, attempt: number): Promise<void> {
    const container = this.#pod.spec.containers.find((candidate) => candidate.name === name);
    const view = this.#containers.get(name);
    if (container === undefined || view === undefined) return;
    try {
      const spec = await containerSpec(this.#pod, container, { podIP: this.#podIP ?? "", attempt }, this.#deps);
      const running = await this.#deps.runtime.start(spec);
      this.#running(view, running, container.readinessProbe === undefined);
      this.#deps.log.info("Container started", { pod: this.#pod.metadata.name, container: name, attempt });
      if (this.#phase.kind === "stopping") this.#deps.runtime.signal(running, "SIGKILL");
    } catch (error) {
      const { clock, log } = this.#deps;
      const reason = error instanceof KubeletError ? error.code : "CreateContainerError";
      this.#containers.set(name, toFailedStart(view, reason, messageOf(error), clock.monotonicMs()));
      log.warn("Container cannot start", { pod: this.#pod.metadata.name, container: name, error: messageOf(error) });
    }
    this.step();
  }

  #running(view: ContainerView, running: RunningContainer, ready: boolean): void {
    this.#containers.set(view.name, toRunning(view, running, ready));
    this.#deps.runtime.onExit(running, (exit) => this.#exited(running, exit));
    const container = this.#pod.spec.containers.find(({ name }) => name === view.name);
    if (container === undefined) return;
    const where = { podIP: this.#podIP ?? "", netnsPath: netnsPath(this.#uid) };
    const loop = new ProbeLoop({ container, running, ...where }, this.#deps, {
      ready: (isReady) => this.#setReady(view.name, isReady),
      dead: (detail) => this.#restart(view.name, detail),
    });
    this.#probes.set(view.name, loop);
    loop.start(ready);
  }

  #setReady(name: string, ready: boolean): void {
    const view = this.#containers.get(name);
    if (view?.state.kind !== "running" || view.state.ready === ready) return;
    this.#containers.set(name, { ...view, state: { ...view.state, ready } });
    this.#deps.changed(this);
  }

  /** Liveness failed: TERM, then KILL after the grace period; the exit starts it again. */
  #restart(name: string, detail: string): void {
    const view = this.#containers.get(name);
    if (view?.state.kind !== "running" || view.state.stopping) return;
    const { running } = view.state;
    this.#deps.log.warn("Liveness probe failed", { pod: this.#pod.metadata.name, container: name, detail });
    this.#containers.set(name, { ...view, state: { ...view.state, ready: false, stopping: true } });
    this.#deps.runtime.signal(running, "SIGTERM");
    const graceMs = (this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    this.#deps.clock.after(graceMs, () => {
      const now = this.#containers.get(name)?.state;
      if (now?.kind === "running" && now.running === running) this.#deps.runtime.signal(running, "SIGKILL");
    });
    this.#deps.changed(this);
  }

  #exited(running: RunningContainer, exit: ContainerExit): void {
    const view = this.#containers.get(running.name);
    this.#probes.get(running.name)?.stop();
    this.#probes.delete(running.name);
    if (view === undefined) return;
    this.#setExited(view, running, exit);
    this.#deps.log.info("Container ended", { pod: this.#pod.metadata.name, container: running.name, ...exit });
    // First say that it is not ready, then see to the restart: endpoints must not wait for it.
    this.#deps.changed(this);
    this.step();
  }

  #setExited(view: ContainerView, running: RunningContainer, exit: ContainerExit): void {
    const learnedAtMs = this.#deps.clock.monotonicMs();
    this.#containers.set(view.name, toExited(view, { running, exit, learnedAtMs }));
  }

  #runningContainers(): RunningContainer[] {
    return [...this.#containers.values()].flatMap(({ state }) => (state.kind === "running" ? [state.running] : []));
  }

  // (Starting | Running | Draining) => Draining. A later, shorter grace period shortens what is left.
  #end(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs ?? Infinity, graceMs);
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#phase.kind === "stopping")
      this.#phase = { ...this.#phase, killAtMs: Math.min(this.#phase.killAtMs, nowMs + graceMs) };
    this.#deleted = true;
    const served = [...this.#containers.values()].some(({ state }) => state.kind === "running" && state.ready);
    const drainedAtMs = nowMs + (served ? Math.min(drainMs, graceMs) : 0);
    if (this.#phase.kind === "running") this.#phase = { kind: "draining", untilMs: drainedAtMs };
    else if (this.#phase.kind === "draining")
      this.#phase = { kind: "draining", untilMs: Math.min(this.#phase.untilMs, drainedAtMs) };
    this.step();
  }

  // Draining => Stopping.
  #stop(nowMs: number): void {
    this.#phase = { kind: "stopping", killAtMs: nowMs + (this.#graceMs ?? 0), killed: false };
    for (const probe of this.#probes.values()) probe.stop();
    for (const running of this.#runningContainers()) this.#deps.runtime.signal(running, "SIGTERM");
    this.step();
  }

  #kill(): void {
    this.#phase = { kind: "stopping", killAtMs: 0, killed: true };
    for (const running of this.#runningContainers()) this.#deps.runtime.signal(running, "SIGKILL");
  }

  // Stopping => Removing => Gone.
  async #remove(): Promise<void> {
    this.#phase = { kind: "removing" };
    this.#deps.changed(this);
    await removeSandbox(this.#pod, this.#deps);
    this.#phase = { kind: "gone" };
    this.#deps.gone(this, this.#pod);
  }
}

/** Whether there is, or is about to be, something of a container that must be ended. */
const isUp = ({ state }: ContainerView): boolean => state.kind === "running" || state.kind === "starting";
