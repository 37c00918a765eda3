import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "#api/core/event.ts";
import type { Service } from "#api/core/service.ts";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import type { EgressPolicy } from "../launcher/egress-policy.ts";
import { diagnose } from "./diagnose.ts";
import { type Observation, noObjects } from "./observation.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
const dayMs = 86_400_000;

const egress: EgressPolicy = { outbound: "allow-any", hostPorts: [] };

const well: Observation = {
  cluster: "default",
  nowMs,
  clockShiftMs: 20,
  record: {
    pid: 1,
    startTicks: "1",
    initPid: 2,
    nodes: 1,
    apiAddress: "127.0.0.1:1",
    published: [],
    egress,
    flags: {},
    bootMs: 0,
  },
  processes: [{ name: "control", state: "ready", since: "2025-12-31T00:00:00Z", restarts: 0 }],
  api: { kind: "ready" },
  writeProblem: undefined,
  sync: undefined,
  certificates: [{ name: "ca.crt", notBeforeMs: nowMs - dayMs, notAfterMs: nowMs + 300 * dayMs }],
  objects: noObjects,
  nodes: [
    {
      node: "node1",
      tables: { missing: false, problem: undefined },
      service: undefined,
      dns: undefined,
      upstream: undefined,
    },
  ],
  sidecars: [],
};
const codes = (changes: Partial<Observation>): string[] => diagnose({ ...well, ...changes }).map(({ code }) => code);
const [node] = well.nodes;
const probe = (changes: object): Partial<Observation> => ({ nodes: [{ ...node!, ...changes }] });

test("a host port that was taken is told until it is published", () => {
  const service: Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "x", namespace: "default", uid: "u" },
    spec: { type: "LoadBalancer", ports: [{ port: 80 }], selector: {} },
  };
  const event = (type: string, reason: string, lastTimestamp: string): Event => ({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: reason },
    involvedObject: { uid: "u" },
    type,
    reason,
    lastTimestamp,
  });
  const taken = event("Warning", "HostPortNotPublished", "2026-01-01T00:00:01Z");
  const published = event("Normal", "HostPortPublished", "2026-01-01T00:00:16Z");
  const said = (...events: Event[]): boolean =>
    codes({ objects: { ...well.objects, services: [service], events } }).includes("HostPortTaken");
  assert.ok(said(taken));
  assert.ok(!said(published, taken));
  assert.ok(said({ ...taken, lastTimestamp: "2026-01-01T00:00:30Z" }, published));
});

test("diagnose() finds nothing wrong where nothing is", () => {
  assert.deepEqual(codes({}), []);
});

test("diagnose() tells a process that is down from one that was, for ten minutes", () => {
  const state = (fields: object): Partial<Observation> => ({ processes: [{ ...well.processes[0]!, ...fields }] });
  assert.deepEqual(codes(state({ state: "waiting", restarts: 3, lastEnd: "1" })), ["ProcessDown"]);
  assert.deepEqual(codes(state({ restarts: 1, since: "2025-12-31T23:55:00Z" })), ["ProcessRestarts"]);
  assert.deepEqual(codes(state({ restarts: 1, since: "2025-12-31T23:45:00Z" })), []);
});

test("diagnose() tells an API that does not answer from one that cannot write", () => {
  assert.deepEqual(codes({ api: { kind: "unreachable", message: "ECONNREFUSED" } }), ["APIUnreachable"]);
  assert.deepEqual(codes({ api: { kind: "unready", message: "503" } }), ["APINotReady"]);
  assert.deepEqual(codes({ writeProblem: "database or disk is full" }), ["StoreRefusesWrites"]);
});

test("diagnose() finds a clock that was set, forward or back", () => {
  const [forward] = diagnose({ ...well, clockShiftMs: 3_600_000 });
  assert.equal(forward?.code, "ClockSet");
  assert.match(forward.sentence, /by \+3600 s since the start/);
  assert.deepEqual(codes({ clockShiftMs: -60_000 }), ["ClockSet"]);
});

for (const [notBeforeMs, notAfterMs, code] of [
  [nowMs - 2 * dayMs, nowMs - dayMs, "CertificateExpired"],
  [nowMs + dayMs, nowMs + 9 * dayMs, "CertificateNotYetValid"],
  [nowMs - dayMs, nowMs + 13 * dayMs, "CertificateExpiresSoon"],
] as const) {
  test(`diagnose() finds ${code}`, () => {
    assert.deepEqual(codes({ certificates: [{ name: "x.crt", notBeforeMs, notAfterMs }] }), [code]);
  });
}

test("diagnose() finds what is wrong with a node; without DNS the upstream is not blamed", () => {
  assert.deepEqual(codes(probe({ tables: { missing: true, problem: undefined } })), ["RulesMissing"]);
  assert.deepEqual(codes(probe({ tables: { missing: false, problem: "EACCES" } })), ["RulesUnreadable"]);
  assert.deepEqual(codes(probe({ service: "ECONNREFUSED" })), ["ServiceNetworkBroken"]);
  assert.deepEqual(codes(probe({ upstream: "ETIMEOUT" })), ["UpstreamBroken"]);
  assert.deepEqual(codes(probe({ dns: "ETIMEOUT", upstream: "ETIMEOUT" })), ["DNSBroken"]);
});

test("diagnose() finds clients that are missing, and resources that cannot be translated", () => {
  const condition = { type: "Ready", status: "True" };
  const nodes = [{ apiVersion: "v1", kind: "Node", metadata: { name: "node1" }, status: { conditions: [condition] } }];
  const sync = { revision: 1, synced: true, problems: { "service:default/a": "spec.ports: bad" }, clients: [] };
  const found = diagnose({ ...well, sync, objects: { ...noObjects, nodes: nodes as never } });
  assert.deepEqual(
    found.map(({ code, about }) => `${code} ${about}`),
    ["Untranslatable service default/a", "ClientMissing proxy node1/proxy,dns", "ClientMissing proxy node1/sidecars"],
  );
});

test("diagnose() blames no object when the API does not answer", () => {
  const port = {
    hostAddress: "127.0.0.1",
    hostPort: 1,
    kind: "svc",
    namespace: "default",
    name: "x",
    port: 80,
  } as const;
  const record = { ...well.record, published: [port] };
  assert.deepEqual(codes({ record }), ["PublishedTargetMissing"]);
  const service = (number: number): Service => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "x", namespace: "default" },
    spec: { type: "ExternalName", ports: [{ port: number }] },
  });
  assert.deepEqual(codes({ record, objects: { ...well.objects, services: [service(80)] } }), []);
  assert.deepEqual(codes({ record, objects: { ...well.objects, services: [service(81)] } }), [
    "PublishedTargetMissing",
  ]);
  assert.deepEqual(codes({ record, api: { kind: "unreachable", message: "" } }), ["APIUnreachable"]);
});

test("pods that policies allow no DNS are told, once for each set of policies", () => {
  const pods = ["a", "b", "c", "d"].map((name) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", uid: name, labels: { app: name === "d" ? "free" : "web" } },
    spec: { containers: [] },
    status: { phase: "Running" as const, conditions: [{ type: "Ready", status: "True" as const }] },
  }));
  const policy = (name: string, egress: readonly object[]): NetworkPolicy => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "shop" },
    spec: { podSelector: { matchLabels: { app: "web" } }, policyTypes: ["Egress"], egress },
  });
  const told = (...networkPolicies: NetworkPolicy[]): string[] =>
    diagnose({ ...well, objects: { ...noObjects, pods, networkPolicies } })
      .filter(({ code }) => code === "DNSDeniedByPolicy")
      .map(({ about, sentence }) => `${about} ${sentence}`);
  assert.match(told(policy("deny", [])).join("|"), /^networkpolicy shop\/deny .*: 3 pods, a, b, c$/);
  const two = told(policy("deny", []), policy("web", [{ ports: [{ port: 80 }] }])).join("|");
  assert.match(two, /^networkpolicy shop\/deny .*: 3 pods, a, b, c, with shop\/deny or shop\/web$/);
  assert.deepEqual(told(policy("deny", []), policy("dns", [{ ports: [{ port: 53, protocol: "UDP" }] }])), []);
});
