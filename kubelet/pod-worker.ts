/**
 * Brings one pod from its object to running processes, and ends it.
 *
 *   Starting (network, sidecar, volumes) => Running (containers, probes, restarts)
 *     => Draining (deleted: not ready, still serving) => Stopping (TERM, then KILL) => Removing => Gone
 *
 * Invariant: `step` is the only place that decides; every effect ends in a new `step`. Containers of a pod with a sidecar
 * start after it listens and end before it goes.
 */
import type { Container, Pod } from "#api/core/pod.ts";
import { sidecarStatusAnnotation } from "#api/core/pod.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import { controllerOf } from "#api/meta.ts";
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import type { Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import {
  type ContainerView,
  createdContainer,
  nextAction,
  toExited,
  toFailedStart,
  toRunning,
  toStarting,
} from "./container-state.ts";
import { resolveEnvironment } from "./environment.ts";
import { KubeletError } from "./errors.ts";
import { resolveImage } from "./images.ts";
import type { PodRecord } from "./pod-dirs.ts";
import { netnsPath, planPodNetwork, removePodNetwork } from "./pod-network.ts";
import { ProbeLoop } from "./probe-loop.ts";
import type { ContainerExit, RunningContainer } from "./runtime.ts";
import type { PodView } from "./status.ts";
import { makeVolumes, planMounts } from "./volumes.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

type Phase =
  | { readonly kind: "starting"; readonly busy: boolean; readonly notBeforeMs: number; readonly failures: number }
  | { readonly kind: "running" }
  | { readonly kind: "draining"; readonly untilMs: number }
  | { readonly kind: "stopping"; readonly killAtMs: number; readonly killed: boolean }
  | { readonly kind: "removing" }
  | { readonly kind: "gone" };

/** How long a pod that was ready keeps serving after its deletion, so that it leaves every proxy first, in ms. */
const drainMs = 1500;
/** How long its sidecar may take for what is in flight once the containers have ended, in ms. */
const sidecarDrainMs = 1000;

export class PodWorker {
  #pod: Pod;
  readonly #uid: string;
  readonly #deps: WorkerDependencies;
  #phase: Phase = { kind: "starting", busy: false, notBeforeMs: 0, failures: 0 };
  readonly #containers = new Map<string, ContainerView>();
  readonly #probes = new Map<string, ProbeLoop>();
  readonly #startedAtMs: number;
  #podIP: string | undefined;
  #deleted = false;
  #graceMs: number | undefined;
  #timer: Timer | undefined;
  #dueAtMs = 0;

  constructor(pod: Pod, deps: WorkerDependencies) {
    this.#pod = pod;
    this.#uid = pod.metadata.uid ?? "";
    this.#deps = deps;
    this.#startedAtMs = deps.clock.nowMs();
    for (const { name } of pod.spec.containers) this.#containers.set(name, createdContainer(name));
  }

  get uid(): string {
    return this.#uid;
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

  /** Takes over network and containers that an earlier kubelet made. */
  adopt(record: PodRecord): void {
    this.#podIP = record.podIP;
    this.#phase = { kind: "running" };
    for (const { container, exit } of this.#deps.runtime.adopt(this.#uid)) {
      const view = this.#containers.get(container.name);
      if (view === undefined) continue;
      const before = this.#pod.status?.containerStatuses?.find(({ name }) => name === container.name);
      // Ready before, ready now: the probe speaks up within its period if that has changed.
      if (exit === undefined) this.#running(view, container, before?.ready === true);
      else this.#containers.set(container.name, toExited(view, container, exit));
    }
    this.step();
  }

  view(): PodView {
    const { kind } = this.#phase;
    return {
      podIP: this.#podIP,
      hostIP: this.#deps.hostIP,
      startedAtMs: this.#startedAtMs,
      sandboxReady: kind === "running" || kind === "draining" || kind === "stopping",
      terminating: this.#deleted,
      containers: [...this.#containers.values()],
    };
  }

  /** Does what is due now, and sets the timer for what is due next. */
  step(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const nowMs = this.#deps.clock.nowMs();
    const phase = this.#phase;
    switch (phase.kind) {
      case "starting":
        if (phase.busy) break;
        if (this.#deleted) return this.#remove();
        if (phase.notBeforeMs > nowMs) this.#stepAt(phase.notBeforeMs);
        else void this.#makeSandbox(phase.failures);
        break;

      case "running":
        for (const view of this.#containers.values()) this.#stepContainer(view, nowMs);
        break;

      case "draining":
        if (phase.untilMs > nowMs) this.#stepAt(phase.untilMs);
        else this.#stop(nowMs);
        break;

      case "stopping":
        if (this.#runningContainers().length === 0 && !this.#isStartingAny()) return this.#remove();
        if (phase.killAtMs > nowMs) this.#stepAt(phase.killAtMs);
        else if (!phase.killed) this.#kill();
        break;

      case "removing":
      case "gone":
        break;
    }
    this.#deps.changed(this);
  }

  /** Steps again at `atMs`, or before when something else is due earlier. */
  #stepAt(atMs: number): void {
    if (this.#timer !== undefined && this.#dueAtMs <= atMs) return;
    this.#timer?.cancel();
    this.#dueAtMs = atMs;
    this.#timer = this.#deps.clock.after(Math.max(1, atMs - this.#deps.clock.nowMs()), () => this.step());
  }

  // Starting => (Running | Starting later): the network, the sidecar, the volumes.
  async #makeSandbox(failures: number): Promise<void> {
    const { addresses, dirs, sidecars, references, runScript, clock, log } = this.#deps;
    this.#phase = { kind: "starting", busy: true, notBeforeMs: 0, failures };
    try {
      const podIP = addresses.allocate(this.#uid);
      const spec = this.#sidecarSpec(podIP);
      const { namespace = "default", name } = this.#pod.metadata;
      dirs.write({ namespace, name, uid: this.#uid, podIP, hasSidecar: spec !== undefined });
      const injected = spec !== undefined && spec.gateway === undefined;
      await runScript(planPodNetwork({ podUid: this.#uid, podIP, gatewayIP: addresses.gatewayIP, injected }));
      this.#podIP = podIP;
      if (spec !== undefined) await sidecars.add(spec);
      await makeVolumes(this.#pod, dirs, references);
      this.#phase = { kind: "running" };
    } catch (error) {
      const delayMs = Math.min(500 * 2 ** failures, 30_000);
      log.warn("Pod cannot start", { pod: this.#pod.metadata.name, error: messageOf(error), delayMs });
      this.#explainAll(error);
      this.#phase = { kind: "starting", busy: false, notBeforeMs: clock.nowMs() + delayMs, failures: failures + 1 };
    }
    if (this.#deleted && this.#phase.kind === "running") this.#phase = { kind: "draining", untilMs: 0 };
    this.step();
  }

  #explainAll(error: unknown): void {
    const reason = error instanceof KubeletError ? error.code : "FailedCreatePodSandBox";
    for (const [name, view] of this.#containers) {
      if (view.state.kind !== "waiting") continue;
      this.#containers.set(name, { ...view, state: { ...view.state, reason, message: messageOf(error) } });
    }
  }

  /** The sidecar that this pod is to have; undefined when none. */
  #sidecarSpec(podIP: string): SidecarSpec | undefined {
    const { namespace = "default", name, labels = {}, annotations = {} } = this.#pod.metadata;
    const gateway = labels[gatewayNameLabel];
    if (gateway === undefined && annotations[sidecarStatusAnnotation] === undefined) return undefined;
    return {
      podUid: this.#uid,
      namespace,
      podName: name,
      podIP,
      netnsPath: netnsPath(this.#uid),
      serviceAccount: this.#pod.spec.serviceAccountName ?? "default",
      labels,
      workloadName: workloadName(this.#pod),
      ...(gateway === undefined ? {} : { gateway: `${namespace}/${gateway}` }),
    };
  }

  #stepContainer(view: ContainerView, nowMs: number): void {
    const action = nextAction(view, this.#pod.spec.restartPolicy ?? "Always", nowMs);
    if (action.kind === "wait") {
      this.#stepAt(action.untilMs);
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
      const running = await this.#deps.runtime.start(await this.#containerSpec(container, attempt));
      this.#running(view, running, container.readinessProbe === undefined);
      this.#deps.log.info("Container started", { pod: this.#pod.metadata.name, container: name, attempt });
      if (this.#phase.kind === "stopping") this.#deps.runtime.signal(running, "SIGKILL");
    } catch (error) {
      const reason = error instanceof KubeletError ? error.code : "CreateContainerError";
      this.#containers.set(name, toFailedStart(view, reason, messageOf(error), this.#deps.clock.nowMs()));
      this.#deps.log.warn("Container cannot start", {
        pod: this.#pod.metadata.name,
        container: name,
        error: messageOf(error),
      });
    }
    this.step();
  }

  async #containerSpec(
    container: Container,
    attempt: number,
  ): Promise<Parameters<WorkerDependencies["runtime"]["start"]>[0]> {
    const { images, references, dirs, nodeName, hostIP, nameserver, nodeBinary } = this.#deps;
    const podIP = this.#podIP ?? "";
    const image = resolveImage(container.image ?? "", images);
    const facts = { podIP, hostIP, nodeName };
    const { env, command } = await resolveEnvironment(this.#pod, container, image, { references, facts });
    return {
      podUid: this.#uid,
      name: container.name,
      attempt,
      command,
      env,
      netnsPath: netnsPath(this.#uid),
      root: {
        hostname: this.#pod.spec.hostname ?? this.#pod.metadata.name.slice(0, 63),
        podIP,
        namespace: this.#pod.metadata.namespace ?? "default",
        nameserver,
        nodeBinary,
        imageDirectory: image.directory,
        mounts: planMounts(this.#pod, container, dirs),
        workingDir: container.workingDir ?? (image.directory === undefined ? "/" : "/app"),
      },
    };
  }

  #running(view: ContainerView, running: RunningContainer, ready: boolean): void {
    this.#containers.set(view.name, toRunning(view, running, ready));
    this.#deps.runtime.onExit(running, (exit) => this.#exited(running, exit));
    const container = this.#pod.spec.containers.find(({ name }) => name === view.name);
    if (container === undefined) return;
    const target = { container, running, podIP: this.#podIP ?? "", netnsPath: netnsPath(this.#uid) };
    const loop = new ProbeLoop(target, this.#deps, {
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
    this.#containers.set(running.name, toExited(view, running, exit));
    const { name } = this.#pod.metadata;
    this.#deps.log.info("Container ended", { pod: name, container: running.name, exitCode: exit.exitCode });
    // First say that it is not ready, then see to the restart: endpoints must not wait for it.
    this.#deps.changed(this);
    this.step();
  }

  #runningContainers(): RunningContainer[] {
    return [...this.#containers.values()].flatMap(({ state }) => (state.kind === "running" ? [state.running] : []));
  }

  #isStartingAny(): boolean {
    return [...this.#containers.values()].some(({ state }) => state.kind === "starting");
  }

  // (Starting | Running) => Draining. A later, shorter grace period shortens what is left.
  #end(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs ?? Infinity, graceMs);
    if (this.#phase.kind === "stopping") {
      const killAtMs = Math.min(this.#phase.killAtMs, this.#deps.clock.nowMs() + graceMs);
      this.#phase = { ...this.#phase, killAtMs };
    }
    const served = [...this.#containers.values()].some(({ state }) => state.kind === "running" && state.ready);
    this.#deleted = true;
    if (this.#phase.kind === "running") {
      const waitMs = served && graceMs > 0 ? Math.min(drainMs, graceMs) : 0;
      this.#phase = { kind: "draining", untilMs: this.#deps.clock.nowMs() + waitMs };
    }
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
  #remove(): void {
    this.#phase = { kind: "removing" };
    this.#deps.changed(this);
    void this.#tearDown();
  }

  async #tearDown(): Promise<void> {
    const { sidecars, runScript, dirs, runtime, addresses, log, gone } = this.#deps;
    try {
      const record = dirs.records().find(({ uid }) => uid === this.#uid);
      if (record?.hasSidecar === true) await sidecars.remove(this.#uid, sidecarDrainMs);
      if (record !== undefined) await runScript(removePodNetwork({ podUid: this.#uid, podIP: record.podIP }));
    } catch (error) {
      log.warn("Pod's network cannot be removed", { pod: this.#pod.metadata.name, error: messageOf(error) });
    }
    runtime.remove(this.#uid);
    dirs.remove(this.#uid);
    addresses.release(this.#uid);
    this.#phase = { kind: "gone" };
    gone(this, this.#pod);
  }
}

/** The owning Deployment's name, else the controller's, else the pod's. */
export function workloadName(pod: Pod): string {
  const owner = controllerOf(pod);
  if (owner === undefined) return pod.metadata.name;
  const hash = pod.metadata.labels?.["pod-template-hash"];
  const suffix = `-${hash ?? ""}`;
  return owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(suffix)
    ? owner.name.slice(0, -suffix.length)
    : owner.name;
}
