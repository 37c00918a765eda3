/** Which node a pod goes to, and why not. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Node } from "#api/core/node.ts";
import type { Pod, PodSpec } from "#api/core/pod.ts";
import { addResources, requestsOf } from "./resources.ts";
import { type NodeState, schedule } from "./schedule.ts";

interface NodeFacts {
  readonly ready?: boolean;
  readonly unschedulable?: boolean;
  readonly taint?: string;
  readonly effect?: "NoSchedule" | "PreferNoSchedule";
  readonly labels?: Record<string, string>;
  readonly cpuUsed?: number;
  readonly podsUsed?: number;
  readonly owned?: number;
}

function stateOf(name: string, facts: NodeFacts = {}): NodeState {
  const { ready = true, unschedulable = false, taint, effect = "NoSchedule", labels = {} } = facts;
  const node: Node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec: { unschedulable, ...(taint === undefined ? {} : { taints: [{ key: taint, value: "yes", effect }] }) },
    status: {
      allocatable: { cpu: "2", memory: "1Gi", pods: "3" },
      conditions: [{ type: "Ready", status: ready ? "True" : "Unknown" }],
    },
  };
  const requested = { cpu: facts.cpuUsed ?? 0, memory: 0, pods: (facts.podsUsed ?? 0) * 1000 };
  return { node, requested, byOwner: new Map(facts.owned === undefined ? [] : [["web", facts.owned]]) };
}

function podOf(spec: Partial<PodSpec> = {}, cpu?: string): Pod {
  const resources = cpu === undefined ? {} : { resources: { requests: { cpu } } };
  const containers = [{ name: "web", ...resources }];
  return { apiVersion: "v1", kind: "Pod", metadata: { name: "web" }, spec: { containers, ...spec } };
}

/** The node's name, or the message. */
function decide(pod: Pod, states: readonly NodeState[], turn = 0): string {
  const decision = schedule(pod, states, "web", turn);
  return decision.kind === "node" ? decision.name : decision.message;
}

describe("schedule() filters", () => {
  const tolerations = [{ key: "gpu", operator: "Equal", value: "yes", effect: "NoSchedule" }] as const;
  const rows: readonly [what: string, pod: Pod, facts: NodeFacts, wanted: string][] = [
    ["takes a node that is ready", podOf(), {}, "n"],
    [
      "is not ready",
      podOf(),
      { ready: false },
      "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.",
    ],
    ["is cordoned", podOf(), { unschedulable: true }, "0/1 nodes are available: 1 node(s) were unschedulable."],
    ["has a taint", podOf(), { taint: "gpu" }, "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}."],
    ["has a tolerated taint", podOf({ tolerations }), { taint: "gpu" }, "n"],
    ["has a taint under Exists without key", podOf({ tolerations: [{ operator: "Exists" }] }), { taint: "gpu" }, "n"],
    ["has a soft taint", podOf(), { taint: "gpu", effect: "PreferNoSchedule" }, "n"],
    ["has the wanted label", podOf({ nodeSelector: { disk: "ssd" } }), { labels: { disk: "ssd" } }, "n"],
    [
      "has another label",
      podOf({ nodeSelector: { disk: "ssd" } }),
      { labels: { disk: "hdd" } },
      "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    ],
    ["has room for the request", podOf({}, "500m"), { cpuUsed: 1500 }, "n"],
    ["lacks cpu", podOf({}, "501m"), { cpuUsed: 1500 }, "0/1 nodes are available: 1 Insufficient cpu."],
    ["lacks cpu, which a pod without request does not mind", podOf(), { cpuUsed: 3000 }, "n"],
    ["is full of pods", podOf(), { podsUsed: 3 }, "0/1 nodes are available: 1 Too many pods."],
  ];
  for (const [what, pod, facts, wanted] of rows) {
    it(`of a node that ${what}`, () => assert.equal(decide(pod, [stateOf("n", facts)]), wanted));
  }

  it("count what they refused, by reason", () => {
    const states = [stateOf("a", { ready: false }), stateOf("b", { ready: false }), stateOf("c", { podsUsed: 3 })];
    const message =
      "0/3 nodes are available: 1 Too many pods, 2 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.";
    assert.equal(decide(podOf(), states), message);
    assert.equal(decide(podOf(), []), "no nodes available to schedule pods");
  });
});

describe("schedule() scores", () => {
  it("takes the node with the fewest pods of the same owner", () => {
    const states = [stateOf("a", { owned: 2 }), stateOf("b", { owned: 1 }), stateOf("c", { owned: 2 })];
    assert.deepEqual(
      [0, 1, 2].map((turn) => decide(podOf(), states, turn)),
      ["b", "b", "b"],
    );
  });

  it("takes the emptier node among those with equally many", () => {
    const states = [stateOf("a", { cpuUsed: 1000 }), stateOf("b", { cpuUsed: 100 })];
    assert.deepEqual(
      [0, 1].map((turn) => decide(podOf(), states, turn)),
      ["b", "b"],
    );
  });

  it("takes equal nodes in rotation", () => {
    const states = ["a", "b", "c"].map((name) => stateOf(name));
    assert.deepEqual(
      [0, 1, 2, 3].map((turn) => decide(podOf(), states, turn)),
      ["a", "b", "c", "a"],
    );
  });
});

describe("requestsOf()", () => {
  it("sums containers, in thousandths", () => {
    const pod = podOf({
      containers: [
        { name: "a", resources: { requests: { cpu: "250m", memory: "1Ki" } } },
        { name: "b", resources: { requests: { cpu: "1" } } },
      ],
    });
    const requests = { cpu: 1250, memory: 1_024_000, pods: 1000 };
    assert.deepEqual(requestsOf(pod), requests);
    assert.deepEqual(addResources(requests, requests, -1), { cpu: 0, memory: 0, pods: 0 });
  });
});
