/** What a cluster may reach outside: everything but itself, its host and what is no host. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addresses } from "../ipc.ts";
import { type EgressPolicy, decideEgress } from "./egress-policy.ts";

const anywhere: EgressPolicy = { outbound: "allow-any", hostPorts: [5432] };

function outcome(address: string, port: number, policy = anywhere): string {
  const decision = decideEgress({ address, port }, policy, ["192.0.2.2"]);
  return decision.kind === "connect" ? `${decision.address}:${decision.port}` : decision.reason;
}

test("decideEgress() lets out what is outside", () => {
  assert.equal(outcome("198.51.100.7", 443), "198.51.100.7:443");
  assert.equal(outcome("100.65.0.1", 80), "100.65.0.1:80");
});

test("decideEgress() refuses the cluster's ranges, the host's loopback, link-local and what is no host", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["10.244.1.2", /a pod's/],
    ["10.96.0.1", /a Service's/],
    ["100.64.0.1", /the cluster's own/],
    ["127.0.0.1", /the host's loopback/],
    ["0.0.0.0", /no host's/],
    ["169.254.169.254", /link-local/],
    ["224.0.0.1", /multicast/],
    ["255.255.255.255", /reserved/],
    ["fe80::1", /no IPv4 address/],
  ];
  for (const [address, reason] of cases) assert.match(outcome(address, 80), reason, address);
  assert.match(outcome("198.51.100.7", 0), /no IPv4 address and port/);
});

test("decideEgress() reaches the host's loopback by its own address, at allowed ports alone", () => {
  assert.equal(outcome(addresses.host, 5432), "127.0.0.1:5432");
  assert.match(outcome(addresses.host, 22), /port 22 of the host is not allowed \(allow it: .*--allow-host-port 22\)/);
});

test("decideEgress() refuses the host under its own addresses, but for allowed ports", () => {
  assert.match(outcome("192.0.2.2", 22), /it is the host, whose port 22 is not allowed/);
  assert.equal(outcome("192.0.2.2", 5432), "192.0.2.2:5432");
});

test("decideEgress() lets nothing out under registry-only but the host ports that were named", () => {
  const closed: EgressPolicy = { ...anywhere, outbound: "registry-only" };
  assert.match(outcome("198.51.100.7", 443, closed), /registry-only/);
  assert.equal(outcome(addresses.host, 5432, closed), "127.0.0.1:5432");
});
