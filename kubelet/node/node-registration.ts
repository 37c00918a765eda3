/**
 * The Node object: registered at start, told the truth about itself, registered again when somebody deleted it.
 *
 *   machine ─▶ nodeStatus() ─▶ written when it says something new, when others changed it, and every 5 min
 *
 * Labels, taints and `unschedulable` are the users': only the labels that a node gives itself are set. That the node
 * lives is told by its lease (node-lease.ts), not here.
 */
import type { EventRecorder } from "#api/client/events.ts";
import type { KubeClient } from "#api/client/client.ts";
import { Informer } from "#api/client/informer.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { isAlreadyExists, isConflict, isNotFound } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Machine } from "./machine.ts";
import { type NodeFacts, nodeLabels, nodeStatus, saysTheSame, statusEvents } from "./node-status.ts";

/** How often the machine is looked at, in ms. The kubelet's nodeStatusUpdateFrequency. */
const lookMs = 10_000;
/** A status that says nothing new is written this often, in ms. The kubelet's nodeStatusReportFrequency. */
const reportMs = 300_000;
const retryMinMs = 100;
const retryMaxMs = 2000;

export interface RegistrationOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly recorder: EventRecorder;
  readonly readMachine: () => Machine;
  /** Told of the Node as it is, and each time that it is another. */
  readonly onNode?: (node: Node) => void;
}

export class NodeRegistration {
  readonly #facts: NodeFacts;
  readonly #options: RegistrationOptions;
  readonly #informer: Informer<Node>;
  #writtenAtMs = -Infinity;
  #wake: () => void = () => undefined;
  #isDue = false;
  #labelled = false;
  /** There is a Node, ours or of before. */
  #isKnown = false;
  readonly #registered = Promise.withResolvers<void>();

  constructor(facts: NodeFacts, options: RegistrationOptions) {
    this.#facts = facts;
    this.#options = options;
    this.#informer = new Informer(nodes, { ...options, selector: { fieldSelector: `metadata.name=${facts.name}` } });
  }

  /** The Node as the API server has it. */
  get node(): Node | undefined {
    return this.#informer.get({ name: this.#facts.name });
  }

  /** Resolves once there is a Node and its status has been written, or could not be at first. */
  get registered(): Promise<void> {
    return this.#registered.promise;
  }

  /** Registers the node and keeps its status true until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    this.#record("Starting", "Starting kubelet.");
    void this.#informer.run(signal);
    const wake = (): void => {
      this.#isDue = true;
      this.#wake();
    };
    signal.addEventListener("abort", wake, { once: true });
    await Promise.race([this.#informer.synced, new Promise<void>((resolve) => (this.#wake = resolve))]);
    this.#informer.addHandler({ updated: wake, deleted: wake });
    const { onNode } = this.#options;
    if (onNode !== undefined) this.#informer.addHandler({ added: onNode, updated: onNode });
    let failures = 0;
    while (!signal.aborted) {
      this.#isDue = false;
      try {
        await this.#keep();
        failures = 0;
      } catch (error) {
        log.debug("Node status not written", { node: this.#facts.name, error: messageOf(error) });
        failures += 1;
      }
      if (this.#isKnown) this.#registered.resolve();
      await this.#rest(failures === 0 ? lookMs : Math.min(retryMinMs * 2 ** failures, retryMaxMs), failures > 0);
    }
  }

  /** Waits for the time or, unless a write has failed, for a change by others. */
  #rest(delayMs: number, stubborn: boolean): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(delayMs, resolve);
      if (stubborn) return;
      this.#wake = () => (timer.cancel(), resolve());
      if (this.#isDue) this.#wake();
    });
  }

  async #keep(): Promise<void> {
    const { client, readMachine } = this.#options;
    const { name } = this.#facts;
    const machine = readMachine();
    const node = this.node ?? (await this.#register(machine));
    this.#isKnown = true;
    if (!this.#labelled && this.node !== undefined) await this.#label(this.node, machine);
    try {
      await this.#writeStatus(node, machine);
    } catch (error) {
      if (!isConflict(error)) throw error;
      // Somebody has written since: over what he wrote.
      await this.#writeStatus(await client.get(nodes, { name }), machine);
    }
  }

  /** With its resourceVersion: the patch replaces all conditions, so none that others wrote since may be lost. */
  async #writeStatus({ metadata: { resourceVersion }, status: before }: Node, machine: Machine): Promise<void> {
    const { client, clock } = this.#options;
    const { name } = this.#facts;
    const status = nodeStatus(this.#facts, machine, before, clock.nowMs());
    const isNew = !saysTheSame(before, status);
    if (!isNew && clock.monotonicMs() - this.#writtenAtMs < reportMs) return;
    const metadata = resourceVersion === undefined ? {} : { resourceVersion };
    await client.patchStatus(nodes, { name }, { metadata, status });
    this.#writtenAtMs = clock.monotonicMs();
    for (const reason of statusEvents(before, status)) this.#record(reason, `Node ${name} status is now: ${reason}`);
  }

  async #register(machine: Machine): Promise<Node> {
    const { client, clock } = this.#options;
    const { name, podCIDR } = this.#facts;
    const labels = nodeLabels(name, machine);
    const spec = { podCIDR, podCIDRs: [podCIDR] };
    this.#writtenAtMs = -Infinity;
    // Nobody sees it without its status.
    const status = nodeStatus(this.#facts, machine, undefined, clock.nowMs());
    try {
      const node = await client.create(nodes, {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels },
        spec,
        status,
      });
      this.#writtenAtMs = clock.monotonicMs();
      for (const reason of statusEvents(undefined, status))
        this.#record(reason, `Node ${name} status is now: ${reason}`);
      return node;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      return client.get(nodes, { name });
    }
  }

  /** Sets the node's own labels on an object that was there before; what users set stays. */
  async #label({ metadata }: Node, machine: Machine): Promise<void> {
    const labels = nodeLabels(this.#facts.name, machine);
    const has = Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value);
    try {
      if (!has) await this.#options.client.patch(nodes, { name: this.#facts.name }, { metadata: { labels } });
    } catch (error) {
      if (!isNotFound(error)) throw error; // Deleted meanwhile: it is registered anew.
    }
    this.#labelled = true;
  }

  /** Its events name the node by its name instead of its uid, as the reference kubelet's do: it has no uid at first. */
  #record(reason: string, message: string): void {
    const { name } = this.#facts;
    const node: Node = { apiVersion: "v1", kind: "Node", metadata: { name, uid: name } };
    this.#options.recorder.record(node, "Normal", reason, message);
  }
}
