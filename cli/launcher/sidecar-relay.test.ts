import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { test } from "node:test";
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import { silentLogger } from "#lib/log.ts";
import { DescriptorStore } from "./descriptors.ts";
import { type RelayPeer, SidecarRelay } from "./sidecar-relay.ts";

const spec = (podUid: string): SidecarSpec => ({
  podUid,
  namespace: "default",
  podName: podUid,
  podIP: "10.244.1.2",
  netnsPath: "",
  serviceAccount: "default",
  labels: {},
  workloadName: podUid,
});

function peer(): RelayPeer & { readonly sent: unknown[] } {
  const sent: unknown[] = [];
  return { sent, descriptors: new DescriptorStore(), send: (message) => void sent.push(message) };
}

test("SidecarRelay tells a host that starts anew every sidecar, and an agent what listens", () => {
  const [agent, host] = [peer(), peer()];
  const relay = new SidecarRelay(silentLogger);
  relay.connect(agent, host);
  relay.fromAgent({ kind: "sidecarAdd", spec: spec("a") });
  relay.fromAgent({ kind: "sidecarAdd", spec: spec("b") });
  relay.fromHost({ kind: "sidecarListening", podUid: "a" });
  relay.fromAgent({ kind: "sidecarRemove", podUid: "b", drainMs: 0 });
  host.sent.length = 0;
  agent.sent.length = 0;
  relay.hostStarted();
  relay.agentStarted();
  assert.deepEqual(host.sent, [{ kind: "sidecarAdd", spec: spec("a") }]);
  assert.deepEqual(agent.sent, [{ kind: "sidecarTable", sidecars: [{ spec: spec("a"), listening: true }] }]);
});

test("SidecarRelay drops sockets of pods that are gone, before a new host could inherit them, and no others", () => {
  const [agent, host] = [peer(), peer()];
  const relay = new SidecarRelay(silentLogger);
  relay.connect(agent, host);
  relay.fromAgent({ kind: "sidecarAdd", spec: spec("a") });
  for (const name of ["a/inbound", "gone/inbound", "published/8080"])
    host.descriptors.keep(name, openSync("/dev/null", "r"));
  relay.hostStarts();
  assert.deepEqual(
    host.descriptors.entries().map(([name]) => name),
    ["a/inbound", "published/8080"],
  );
  relay.fromAgent({ kind: "sidecarRemove", podUid: "a", drainMs: 0 });
  relay.fromHost({ kind: "sidecarRemoved", podUid: "a" });
  assert.deepEqual(
    host.descriptors.entries().map(([name]) => name),
    ["published/8080"],
  );
  host.descriptors.dropAll("published/");
});
