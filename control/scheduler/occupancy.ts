/**
 * Nodes with what was bound or assumed on them.
 *
 *   pods, nodes (informers), assumed bindings ─▶ Occupancy ─▶ NodeState ─▶ schedule.ts
 *
 * Invariant: a pod counts once, by its uid, on the node that it was placed on first.
 */
import type { Node } from "#api/core/node.ts";
import { type Resources, addResources } from "./resources.ts";
import type { NodeState } from "./schedule.ts";

export interface Assumed {
  readonly nodeName: string;
  readonly requests: Resources;
  readonly owner: string;
}

interface Occupied {
  node: Node | undefined;
  requested: Resources;
  readonly byOwner: Map<string, number>;
}

export class Occupancy {
  readonly #nodes = new Map<string, Occupied>();
  readonly #pods = new Map<string, Assumed>();

  setNode(node: Node): void {
    this.#state(node.metadata.name).node = node;
  }

  removeNode(name: string): void {
    const state = this.#state(name);
    state.node = undefined;
    this.#dropIfEmpty(name, state);
  }

  place(uid: string, assumed: Assumed): void {
    if (this.#pods.has(uid)) return;
    this.#pods.set(uid, assumed);
    this.#count(assumed, 1);
  }

  forget(uid: string): void {
    const assumed = this.#pods.get(uid);
    if (assumed === undefined) return;
    this.#pods.delete(uid);
    this.#count(assumed, -1);
  }

  nodes(): NodeState[] {
    return [...this.#nodes.values()].flatMap(({ node, requested, byOwner }) =>
      node === undefined ? [] : [{ node, requested, byOwner }],
    );
  }

  #count({ nodeName, requests, owner }: Assumed, sign: 1 | -1): void {
    const state = this.#state(nodeName);
    state.requested = addResources(state.requested, requests, sign);
    const count = (state.byOwner.get(owner) ?? 0) + sign;
    if (count === 0) state.byOwner.delete(owner);
    else state.byOwner.set(owner, count);
    this.#dropIfEmpty(nodeName, state);
  }

  /** A node without an object counts on while pods are on it: it may come back. */
  #dropIfEmpty(name: string, { node, byOwner }: Occupied): void {
    if (node === undefined && byOwner.size === 0) this.#nodes.delete(name);
  }

  #state(name: string): Occupied {
    const state = this.#nodes.get(name) ?? {
      node: undefined,
      requested: { cpu: 0, memory: 0, pods: 0 },
      byOwner: new Map(),
    };
    this.#nodes.set(name, state);
    return state;
  }
}
