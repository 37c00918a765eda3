import assert from "node:assert/strict";
import { test } from "node:test";
import { Progress } from "./progress.ts";

const listener = "type.googleapis.com/envoy.config.listener.v3.Listener";

test("Progress has nothing to say of a type that was never pushed", () => {
  const progress = new Progress();
  progress.answered({ kind: "ack", typeUrl: listener }, 5);
  assert.deepEqual(progress.status(listener, 10), {});
});

test("Progress tells what was pushed from what was acknowledged", () => {
  const progress = new Progress();
  progress.pushed(listener, 3, 100);
  progress.answered({ kind: "ack", typeUrl: listener }, 110);
  progress.pushed(listener, 4, 200);
  assert.deepEqual(progress.status(listener, 250), {
    pushedVersion: 4,
    pushedAgoMs: 50,
    ackedVersion: 3,
    ackedAgoMs: 140,
  });
});

test("Progress keeps a rejection until the next acknowledgement", () => {
  const progress = new Progress();
  progress.pushed(listener, 3, 0);
  progress.answered({ kind: "nack", typeUrl: listener }, 1);
  progress.answered({ kind: "none", typeUrl: listener }, 2);
  assert.equal(progress.status(listener, 3).nackedVersion, 3);
  progress.pushed(listener, 4, 4);
  progress.answered({ kind: "ack", typeUrl: listener }, 5);
  assert.equal(progress.status(listener, 6).nackedVersion, undefined);
  assert.equal(progress.status(listener, 6).ackedVersion, 4);
});
