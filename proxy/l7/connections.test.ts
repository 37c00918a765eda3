/** Who joined is there until it leaves, in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Connections, type Place } from "./connections.ts";
import type { Served } from "./serve.ts";

const nothing = (): void => undefined;
const newServed = (): Served => ({
  direction: "inbound",
  drain: nothing,
  endKeepAlive: nothing,
  closeIfIdle: nothing,
  destroy: nothing,
});

test("Connections are served in order, from join() to leave()", () => {
  const connections = new Connections();
  const join = (): { place: Place; served: Served } => {
    const place = connections.join();
    const served = newServed();
    place.served = served;
    return { place, served };
  };
  assert.deepEqual([connections.size, connections.served()], [0, []]);
  const [a, b, c] = [join(), join(), join()];
  const silent = connections.join();
  assert.equal(connections.size, 4);
  assert.deepEqual(connections.served(), [a.served, b.served, c.served]);
  connections.leave(b.place);
  connections.leave(silent);
  assert.equal(connections.size, 2);
  // Whoever ends them may make them leave meanwhile.
  for (const served of connections.served()) connections.leave(served === a.served ? a.place : c.place);
  assert.deepEqual([connections.size, connections.served()], [0, []]);
  const d = join();
  assert.deepEqual(connections.served(), [d.served]);
});
