/**
 * One container of a pod: starts it, watches it, and ends it.
 *
 *   PodWorker ─ step(), stop() ─▶ image, environment, runtime, post-start hook, probes, pre-stop hook, signals
 *             ◀─ view; context.step() when something has happened ─┘
 *
 * Invariant: what the container is follows from its view (container-state.ts); a run's hooks, probes and timers act on
 * that run only. Events are the reference kubelet's.
 */
import type { Container, Pod } from "#api/core/pod.ts";
import type { LifecycleHandler, Probe } from "#api/core/probe.ts";
import type { EventType } from "#api/client/events.ts";
import { messageOf } from "#lib/errors.ts";
import { ContainerEnding } from "./container-ending.ts";
import {
  type ContainerState,
  type ContainerView,
  backoffOf,
  nextAction,
  toAdopted,
  toExited,
  toExplained,
  toFailedStart,
  toRunning,
  toStarting,
} from "./container-state.ts";
import { runBefore } from "./earlier-runs.ts";
import { KubeletError } from "./errors.ts";
import { resolveImage } from "./images.ts";
import { restartPolicyOf } from "./pod-actions.ts";
import { netnsPath } from "./pod-network.ts";
import { ProbeLoop } from "./probes/probe-loop.ts";
import type { ProbeTarget } from "./probes/prober.ts";
import type { ContainerExit, RunningContainer } from "./runtime.ts";
import { containerSpec } from "./sandbox.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** What a container needs of its pod. */
export interface PodContext {
  pod(): Pod;
  podIP(): string;
  /** Something happened: decide again. */
  step(): void;
  /** The view has changed: write the status. */
  changed(): void;
}

export class ContainerRunner {
  view: ContainerView;
  readonly #name: string;
  readonly #context: PodContext;
  readonly #deps: WorkerDependencies;
  #probes: ProbeLoop | undefined;
  /** Of a run that is told to end. */
  #ending: ContainerEnding | undefined;
  /** Told to end while it was being started. */
  #isUnwanted = false;
  #toldBackoffOf: ContainerState | undefined;

  constructor(view: ContainerView, context: PodContext, deps: WorkerDependencies) {
    this.#name = view.name;
    this.#context = context;
    this.#deps = deps;
    this.view = view;
  }

  /** Takes over a run of an earlier kubelet. `before`: what its status said. */
  adopt(running: RunningContainer, exit: ContainerExit | undefined): void {
    this.view = toAdopted(this.view, runBefore(this.#context.pod(), this.#name, running.attempt));
    if (exit !== undefined) return this.#setExited(running, exit);
    const { status } = this.#context.pod();
    const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
    const before = all.find(({ name }) => name === this.#name);
    const { readinessProbe, startupProbe, lifecycle } = this.#container() ?? {};
    const hook = lifecycle?.postStart;
    const wasStarted = before?.started === true;
    // Started or ready before, and so now: the probes speak up within their period if that has changed.
    const isStarted = wasStarted || (startupProbe === undefined && hook === undefined);
    const isReady = readinessProbe === undefined || before?.ready === true;
    this.#setRunning(running, { isStarted, isReady });
    // Whether its hook came to an end is not known: it runs again, for hooks are called at least once.
    if (hook === undefined || wasStarted) this.#watch(running, { isStarted, isReady });
    else void this.#afterStart(running, hook);
  }

  /** Says why it does not start. */
  explain(reason: string, message: string): void {
    this.view = toExplained(this.view, reason, message);
  }

  /** Starts the container when its time has come; else the time when it will, by the monotonic clock. */
  step(nowMs: number): number | undefined {
    const action = nextAction(this.view, restartPolicyOf(this.#context.pod(), this.view), nowMs);
    if (action.kind === "wait") {
      this.#recordBackoff();
      return action.untilMs;
    }
    if (action.kind === "start") {
      this.view = toStarting(this.view);
      this.#isUnwanted = false;
      void this.#start(action.attempt);
    }
    return undefined;
  }

  /**
   * Ends the run: its hook, TERM, then KILL when `graceMs` are over. Called again with less, it ends the sooner.
   * `message` is the event's.
   */
  stop(graceMs: number, message: string): void {
    const { state } = this.view;
    if (state.kind === "starting") this.#isUnwanted = true;
    if (state.kind !== "running") return;
    const deadlineMs = this.#deps.clock.monotonicMs() + graceMs;
    if (this.#ending !== undefined) return this.#ending.hasten(deadlineMs);
    this.#probes?.stop();
    this.view = { ...this.view, state: { ...state, stopping: true } };
    this.#record("Normal", "Killing", message);
    const hook = this.#container()?.lifecycle?.preStop;
    const target = this.#target(state.running);
    this.#ending = new ContainerEnding(this.#deps, { running: state.running, deadlineMs });
    this.#ending.begin(hook === undefined ? undefined : (timeoutMs) => this.#beforeStop(hook, target, timeoutMs));
    this.#context.changed();
  }

  async #beforeStop(hook: LifecycleHandler, target: ProbeTarget, timeoutMs: number): Promise<void> {
    try {
      await this.#deps.hooks(hook, target, timeoutMs);
    } catch (error) {
      this.#deps.log.info("Pre-stop hook failed", { container: this.#name, error: messageOf(error) });
      if (this.#isPresent(target.running)) this.#record("Warning", "FailedPreStopHook", "PreStopHook failed");
    }
  }

  async #start(attempt: number): Promise<void> {
    const container = this.#container();
    if (container === undefined) return;
    const { log, runtime, images } = this.#deps;
    const pod = this.#context.pod();
    const podIP = this.#context.podIP();
    try {
      const image = resolveImage(container.image ?? "", images);
      if (attempt === 0 || this.view.last === undefined) this.#recordPulled(container.image ?? "", image.image);
      const spec = await containerSpec(pod, container, { podIP, attempt, image }, this.#deps);
      const running = await runtime.start(spec);
      this.#record("Normal", "Created", "Container created");
      this.#record("Normal", "Started", "Container started");
      log.info("Container started", { pod: pod.metadata.name, container: this.#name, attempt });
      if (attempt === 0) this.#recordLimits(container);
      const hook = container.lifecycle?.postStart;
      const isStarted = hook === undefined && container.startupProbe === undefined;
      this.#setRunning(running, { isStarted, isReady: container.readinessProbe === undefined });
      if (this.#isUnwanted) runtime.signal(running, "SIGKILL");
      else if (hook === undefined) this.#watch(running, { isStarted, isReady: container.readinessProbe === undefined });
      else void this.#afterStart(running, hook);
    } catch (error) {
      this.#setFailed(container, error);
    }
    this.#context.step();
  }

  async #afterStart(running: RunningContainer, hook: LifecycleHandler): Promise<void> {
    const { hooks, log, runtime } = this.#deps;
    // One that ended before says so by its exit.
    if (!(await runtime.isUp(running))) return;
    try {
      await hooks(hook, this.#target(running), postStartMs);
    } catch (error) {
      log.info("Post-start hook failed", { container: this.#name, error: messageOf(error) });
      if (!this.#isPresent(running)) return;
      // What was seen may hold secrets: events do not show it.
      this.#record("Warning", "FailedPostStartHook", "PostStartHook failed");
      return this.stop(this.#graceMs(), "FailedPostStartHook");
    }
    if (!this.#isPresent(running) || this.#ending !== undefined) return;
    const { readinessProbe, startupProbe } = this.#container() ?? {};
    this.#watch(running, { isStarted: startupProbe === undefined, isReady: readinessProbe === undefined });
  }

  #setFailed(container: Container, error: unknown): void {
    const { clock, log } = this.#deps;
    const code = error instanceof KubeletError ? error.code : "CreateContainerError";
    const reason = code === "FailedMount" ? "CreateContainerConfigError" : code;
    const message = messageOf(error);
    this.view = toFailedStart(this.view, reason, message, clock.monotonicMs());
    if (reason === "ErrImagePull")
      this.#record("Warning", "Failed", `Failed to pull image "${container.image ?? ""}": ${message}`);
    this.#record("Warning", "Failed", `Error: ${reason === "ErrImagePull" ? reason : message}`);
    log.warn("Container cannot start", { pod: this.#context.pod().metadata.name, container: this.#name, message });
  }

  #setRunning(running: RunningContainer, { isStarted, isReady }: { isStarted: boolean; isReady: boolean }): void {
    this.view = toRunning(this.view, running, { started: isStarted, ready: isReady });
    this.#ending = undefined;
    this.#deps.runtime.onExit(running, (exit) => this.#exited(running, exit));
  }

  #watch(running: RunningContainer, known: { isStarted: boolean; isReady: boolean }): void {
    if (this.#container() === undefined || !this.#isPresent(running)) return;
    this.#probes = new ProbeLoop(this.#target(running), this.#deps, {
      started: () => this.#set(running, { started: true }),
      ready: (isReady) => this.#set(running, { ready: isReady }),
      dead: (kind, probe) => this.#restart(kind, probe),
      unhealthy: (kind, detail) => this.#record("Warning", "Unhealthy", `${kind} probe failed: ${detail}`),
    });
    this.#probes.start(known);
  }

  #set(running: RunningContainer, change: { readonly started?: boolean; readonly ready?: boolean }): void {
    const { state } = this.view;
    if (state.kind !== "running" || state.running !== running) return;
    const next = { ...state, ...change };
    if (next.started === state.started && next.ready === state.ready) return;
    this.view = { ...this.view, state: next };
    // A sidecar that has started lets the next container start.
    if (next.started === state.started) this.#context.changed();
    else this.#context.step();
  }

  /** A probe failed for good: the run is ended, and its end starts the next one. */
  #restart(kind: "Startup" | "Liveness", probe: Probe): void {
    const graceSeconds = probe.terminationGracePeriodSeconds;
    const graceMs = graceSeconds === undefined ? this.#graceMs() : graceSeconds * 1000;
    this.stop(graceMs, `Container ${this.#name} failed ${kind.toLowerCase()} probe, will be restarted`);
  }

  #exited(running: RunningContainer, exit: ContainerExit): void {
    if (!this.#isPresent(running)) return;
    this.#probes?.stop();
    this.#probes = undefined;
    this.#ending?.cancel();
    this.#ending = undefined;
    this.#setExited(running, exit);
    const { message: _message, ...facts } = exit;
    this.#deps.log.info("Container ended", { pod: this.#context.pod().metadata.name, container: this.#name, ...facts });
    // First say that it is not ready, then see to the restart: endpoints must not wait for it.
    this.#context.changed();
    this.#context.step();
  }

  #setExited(running: RunningContainer, exit: ContainerExit): void {
    this.view = toExited(this.view, { running, exit, learnedAtMs: this.#deps.clock.monotonicMs() });
  }

  /** Tells of the wait before the next start, once each. */
  #recordBackoff(): void {
    const pod = this.#context.pod();
    if (this.#toldBackoffOf === this.view.state) return;
    if (backoffOf(this.view, restartPolicyOf(pod, this.view)) === undefined) return;
    this.#toldBackoffOf = this.view.state;
    const { namespace = "default", name, uid = "" } = pod.metadata;
    const what = `Back-off restarting failed container ${this.#name} in pod ${name}_${namespace}(${uid})`;
    this.#record("Warning", "BackOff", what);
  }

  #recordPulled(image: string, pattern: string): void {
    const stands = pattern === image ? "" : `, as ${pattern} of the image map`;
    this.#record("Normal", "Pulled", `Container image "${image}" already present on machine${stands}`);
  }

  #recordLimits({ resources }: Container): void {
    const { limitsRefusal } = this.#deps;
    const { cpu, memory } = resources?.limits ?? {};
    if (limitsRefusal === undefined || (cpu === undefined && memory === undefined)) return;
    const parts = [
      ...(cpu === undefined ? [] : ["CPU is not limited"]),
      ...(memory === undefined ? [] : ["memory is looked at four times a second"]),
    ];
    const what = `Limits of container ${this.#name} without control groups: ${parts.join(", ")} (${limitsRefusal})`;
    this.#record("Warning", "ResourceLimitsNotEnforced", what);
  }

  #record(type: EventType, reason: string, message: string): void {
    const list = this.view.role === "main" ? "containers" : "initContainers";
    const part = { object: this.#context.pod(), fieldPath: `spec.${list}{${this.#name}}` };
    this.#deps.recorder.record(part, type, reason, message);
  }

  /** Undefined for a run that was adopted without its pod's object: it is only to be ended. */
  #container(): Container | undefined {
    const { containers, initContainers = [] } = this.#context.pod().spec;
    return [...containers, ...initContainers].find(({ name }) => name === this.#name);
  }

  #target(running: RunningContainer): ProbeTarget {
    const container = this.#container() ?? { name: this.#name };
    const uid = this.#context.pod().metadata.uid ?? "";
    return { container, running, podIP: this.#context.podIP(), netnsPath: netnsPath(uid) };
  }

  #isPresent(running: RunningContainer): boolean {
    return this.view.state.kind === "running" && this.view.state.running === running;
  }

  #graceMs(): number {
    return (this.#context.pod().spec.terminationGracePeriodSeconds ?? 30) * 1000;
  }
}

/** A post-start hook may take this long, in ms: the container waits for it, and nothing else does. */
const postStartMs = 24 * 3600 * 1000;
