/** Pod addresses of a node. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AddressPool } from "./address-pool.ts";

describe("AddressPool", () => {
  it("allocate() gives .2 to .254, each once, then says that all are in use", () => {
    const pool = new AddressPool("10.244.7.0/24");
    const all = Array.from({ length: 253 }, (_, at) => pool.allocate(`pod${at}`));
    assert.deepEqual([all[0], all.at(-1), new Set(all).size], ["10.244.7.2", "10.244.7.254", 253]);
    assert.equal(pool.gatewayIP, "10.244.7.1");
    assert.throws(() => pool.allocate("more"), {
      code: "FailedCreatePodSandBox",
      message: "Cannot give pod an address: all of 10.244.7.0/24 are in use",
    });
  });

  it("allocate() gives a pod the address that it has", () => {
    const pool = new AddressPool("10.244.1.0/24");
    assert.equal(pool.allocate("a"), pool.allocate("a"));
  });

  it("release() makes an address the last to be given out again", () => {
    const pool = new AddressPool("10.244.1.0/24");
    const first = pool.allocate("a");
    pool.release("a");
    pool.release("a");
    const next = Array.from({ length: 253 }, (_, at) => pool.allocate(`pod${at}`));
    assert.equal(next.indexOf(first), 252);
  });

  it("adopt() takes only the address named, even when it is held already or not of this node", () => {
    const pool = new AddressPool("10.244.1.0/24");
    pool.adopt("a", "10.244.1.5");
    pool.adopt("a", "10.244.1.5");
    pool.adopt("b", "10.244.1.255");
    const rest = Array.from({ length: 252 }, (_, at) => pool.allocate(`pod${at}`));
    assert.ok(rest.includes("10.244.1.254") && !rest.includes("10.244.1.5"));
  });

  it("never gives one address to two pods", () => {
    const step = fc.record({ pod: fc.integer({ min: 0, max: 20 }), add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const pool = new AddressPool("10.244.1.0/24");
        const held = new Map<number, string>();
        for (const { pod, add } of steps) {
          if (add) {
            held.set(pod, pool.allocate(String(pod)));
          } else {
            pool.release(String(pod));
            held.delete(pod);
          }
          assert.equal(new Set(held.values()).size, held.size);
        }
      }),
      { numRuns: 50 },
    );
  });
});
