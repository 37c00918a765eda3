import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointState } from "./explanation.ts";
import { withSockets } from "./listening.ts";
import type { Followed } from "./sidecar-path.ts";

const endpoint = (address: string, hasSidecar = false): EndpointState => ({
  address,
  port: 80,
  serving: true,
  pod: "",
  node: "",
  hasSidecar,
  refusedBy: "",
  isUnheard: false,
});
const followed = (...endpoints: EndpointState[]): Followed => ({
  listener: undefined,
  route: undefined,
  shares: [{ cluster: "a", share: 1, endpoints }],
  outcome: { kind: "forwarded" },
});
const [here, there] = ["10.244.1.2", "10.244.1.3"];
const around = (addresses: Record<string, string>, isProxied = false): Parameters<typeof withSockets>[1] => ({
  sockets: new Map(Object.entries(addresses).map(([pod, address]) => [pod, [{ address, port: 80 }]])),
  isProxied,
  hint: "wanted 8080",
});

test("withSockets() refuses where no program listens on the pod's address", () => {
  const outcome = (socket: string): Followed["outcome"] =>
    withSockets(followed(endpoint(here)), around({ [here]: socket })).outcome;
  for (const socket of ["0.0.0.0", "::", here]) assert.deepEqual(outcome(socket), { kind: "forwarded" });
  assert.deepEqual(outcome("127.0.0.1"), {
    kind: "fails",
    why: "nothing listens on 10.244.1.2:80: the connection is refused (wanted 8080)",
  });
});

test("withSockets() has the mesh answer where a sidecar connects, which reaches the loopback, too", () => {
  const behind = followed(endpoint(here, true));
  assert.deepEqual(withSockets(behind, around({ [here]: "127.0.0.1" })).outcome, { kind: "forwarded" });
  const none = { sockets: new Map([[here, []]]), isProxied: false, hint: "" };
  const { outcome } = withSockets(behind, none);
  assert.equal(outcome.kind === "answered" ? `${outcome.status} ${outcome.flag}` : "", "503 UF");
  const proxied = withSockets(followed(endpoint(here)), { ...none, isProxied: true }).outcome;
  assert.equal(proxied.kind, "answered");
});

test("withSockets() marks single endpoints, and none that it could not look at", () => {
  const { shares, outcome } = withSockets(followed(endpoint(here), endpoint(there)), around({ [there]: "127.0.0.1" }));
  assert.deepEqual(
    shares[0]?.endpoints?.map(({ isUnheard }) => isUnheard),
    [false, true],
  );
  assert.deepEqual(outcome, { kind: "forwarded" });
});
