/** What is on each node: counted once, and forgotten when it is gone. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Node } from "#api/core/node.ts";
import { Occupancy } from "./occupancy.ts";

const node: Node = { apiVersion: "v1", kind: "Node", metadata: { name: "node1" } };
const requests = { cpu: 100, memory: 1, pods: 1000 };
const placed = (owner: string) => ({ nodeName: "node1", requests, owner });

describe("Occupancy", () => {
  it("counts a pod once, and takes it back whole", () => {
    const occupancy = new Occupancy();
    occupancy.setNode(node);
    for (const uid of ["a", "a", "b"]) occupancy.place(uid, placed("web"));
    assert.deepEqual(
      occupancy.nodes().map(({ requested, byOwner }) => [requested.cpu, [...byOwner]]),
      [[200, [["web", 2]]]],
    );
    for (const uid of ["a", "b", "b"]) occupancy.forget(uid);
    assert.deepEqual(
      occupancy.nodes().map(({ requested, byOwner }) => [requested.cpu, [...byOwner]]),
      [[0, []]],
    );
  });

  it("remembers what is on a node that is gone, in case that it comes back", () => {
    const occupancy = new Occupancy();
    occupancy.setNode(node);
    occupancy.place("a", placed("web"));
    occupancy.removeNode("node1");
    assert.deepEqual(occupancy.nodes(), []);
    occupancy.setNode(node);
    assert.equal(occupancy.nodes()[0]?.requested.cpu, 100);
  });
});
