import assert from "node:assert/strict";
import { test } from "node:test";
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import { ManualClock } from "#lib/clock.ts";
import type { SidecarMessage } from "./ipc.ts";
import { RelayedSidecars } from "./relayed-sidecars.ts";

const spec: SidecarSpec = {
  podUid: "u1",
  namespace: "default",
  podName: "web",
  podIP: "10.244.1.2",
  netnsPath: "/run/netns/pod-u1",
  serviceAccount: "default",
  labels: {},
  workloadName: "web",
};

function setup(): { sent: SidecarMessage[]; clock: ManualClock; sidecars: RelayedSidecars } {
  const sent: SidecarMessage[] = [];
  const clock = new ManualClock();
  return { sent, clock, sidecars: new RelayedSidecars((message) => void sent.push(message), clock) };
}

test("add() resolves when the pod's own sidecar listens, not another's", async () => {
  const { sent, clock, sidecars } = setup();
  let done = false;
  const adding = sidecars.add(spec).then(() => (done = true));
  sidecars.receive({ kind: "sidecarListening", podUid: "u2" });
  await clock.advance(0);
  assert.equal(done, false);
  sidecars.receive({ kind: "sidecarListening", podUid: "u1" });
  await adding;
  assert.deepEqual(sent, [{ kind: "sidecarAdd", spec }]);
});

test("add() asks for nothing when the launcher's table says that it listens", async () => {
  const { sent, sidecars } = setup();
  sidecars.receive({ kind: "sidecarTable", sidecars: [{ spec, listening: true }] });
  await sidecars.add(spec);
  assert.deepEqual(sent, []);
});

test("add() rejects with the host's sentence, and with its own when nothing is heard", async () => {
  const { clock, sidecars } = setup();
  const failed = assert.rejects(sidecars.add(spec), /Cannot start sidecar: no namespace/);
  sidecars.receive({ kind: "sidecarFailed", podUid: "u1", message: "no namespace" });
  await failed;
  const silent = assert.rejects(sidecars.add(spec), /it does not listen after 20 s/);
  await clock.advance(20_000);
  await silent;
});

test("remove() goes on without an answer, for a host that is restarted has nothing left of it", async () => {
  const { clock, sidecars } = setup();
  let done = false;
  const removing = sidecars.remove("u1", 1000).then(() => (done = true));
  await clock.advance(2999);
  assert.equal(done, false);
  await clock.advance(1);
  await removing;
});
