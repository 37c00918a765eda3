/** Resources → snapshot: warming, make before break, delta equals full. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { typeUrls } from "#api/xds/envoy.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { createCounters } from "#proxy/l7/types.ts";
import { ConfigState, warmMsMax } from "./state.ts";

/** `timers`: how many the state has asked for. */
function startState(clock: ManualClock = new ManualClock(), timers: { count: number } = { count: 0 }): ConfigState {
  const deps = {
    dial: () => {
      throw new Error("Cannot dial: a state has no sockets");
    },
    wheel: new TimerWheel(clock),
    nowMs: () => clock.monotonicMs(),
    wallMs: () => clock.nowMs(),
    after: (delayMs: number, callback: () => void): void => {
      timers.count++;
      clock.after(delayMs, callback);
    },
    log: silentLogger,
    random: seededRandom(1),
    counters: createCounters(),
  };
  return new ConfigState({ deps, onNames: () => undefined, onLive: () => undefined });
}

const cluster = (name: string): object => ({
  name,
  type: "EDS",
  eds_cluster_config: { eds_config: { ads: {}, resource_api_version: "V3" } },
});
const endpoints = (name: string): object => ({ cluster_name: name, endpoints: [] });
const routes = (name: string, to: string): object => ({
  name,
  virtual_hosts: [{ name: "v", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: to } }] }],
});
const listener = (name: string, route: string, port = 80): object => ({
  name,
  address: { socket_address: { address: "0.0.0.0", port_value: port } },
  filter_chains: [
    {
      filters: [
        {
          name: "hcm",
          typed_config: {
            "@type": typeUrls.httpConnectionManager,
            stat_prefix: "x",
            http_filters: [{ name: "router", typed_config: { "@type": typeUrls.router } }],
            rds: { config_source: { ads: {} }, route_config_name: route },
          },
        },
      ],
    },
  ],
});

const one = (state: ConfigState, type: keyof typeof typeUrls, name: string, resource: object): void =>
  state.apply(typeUrls[type], [{ name, resource }], []);

test("ConfigState takes a listener into force only when all it names is known", () => {
  const state = startState();
  one(state, "listener", "l", listener("l", "r"));
  one(state, "route", "r", routes("r", "c"));
  one(state, "cluster", "c", cluster("c"));
  assert.equal(state.live.listeners.size, 0);
  assert.equal(state.isComplete, false);
  one(state, "endpoint", "c", endpoints("c"));
  assert.equal(state.live.listeners.size, 1);
  assert.equal(state.isComplete, true);
});

test("ConfigState counts a name that does not exist as known to be empty", () => {
  const state = startState();
  one(state, "cluster", "c", cluster("c"));
  state.apply(typeUrls.endpoint, [], ["c"]);
  assert.equal(state.live.clusters.get("c")?.isWarm, true);
});

test("ConfigState takes what never becomes warm into force after a while", async () => {
  const clock = new ManualClock();
  const state = startState(clock);
  one(state, "cluster", "c", cluster("c"));
  one(state, "listener", "l", listener("l", "r"));
  one(state, "route", "r", routes("r", "missing"));
  await clock.advance(warmMsMax - 1);
  assert.equal(state.isComplete, false);
  await clock.advance(1);
  assert.equal(state.isComplete, true);
  assert.equal(state.live.routes.has("r"), true);
});

const watched = { outlier_detection: { interval: "1s" } };
const checked = {
  name: "checked",
  type: "STATIC",
  load_assignment: {
    cluster_name: "checked",
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: 1 } } } }] },
    ],
  },
  health_checks: [
    { timeout: "1s", interval: "1s", unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {} },
  ],
  ...watched,
};

test("ConfigState starts nothing of a response that it refuses", async () => {
  const [clock, timers] = [new ManualClock(), { count: 0 }];
  const state = startState(clock, timers);
  const bad = { name: "bad", resource: { name: "bad", type: "STATIC", nonsense: 1 } };
  const good = { name: "checked", resource: checked };
  assert.throws(() => state.apply(typeUrls.cluster, [good, bad], []), /nonsense/);
  await clock.advance(10_000);
  assert.equal(timers.count, 0);
  state.apply(typeUrls.cluster, [good], []);
  await clock.advance(10_000);
  assert.ok(timers.count >= 20, `${timers.count} timers`);
});

test("ConfigState starts nothing of a cluster that is replaced before it is in force, and ends one that was", async () => {
  const [clock, timers] = [new ManualClock(), { count: 0 }];
  const state = startState(clock, timers);
  one(state, "cluster", "c", cluster("c"));
  one(state, "endpoint", "c", endpoints("c"));
  one(state, "listener", "l", listener("l", "r"));
  one(state, "route", "r", routes("r", "c"));
  const before = state.live.clusters.get("c");
  const known = timers.count;
  const elsewhere = { eds_config: { ads: {}, resource_api_version: "V3" }, service_name: "d" };
  one(state, "cluster", "c", { ...cluster("c"), ...watched, eds_cluster_config: elsewhere });
  assert.equal(state.live.clusters.get("c"), before);
  one(state, "cluster", "c", { ...cluster("c"), ...watched });
  one(state, "endpoint", "c", endpoints("c"));
  assert.notEqual(state.live.clusters.get("c"), before);
  await clock.advance(3000);
  // A sweep each second of the one in force, and one to come.
  assert.equal(timers.count - known, 4);
  one(state, "cluster", "c", cluster("c"));
  await clock.advance(10_000);
  assert.equal(timers.count - known, 4);
});

test("ConfigState keeps the compiled object of a resource that did not change", () => {
  const state = startState();
  one(state, "cluster", "c", cluster("c"));
  one(state, "endpoint", "c", endpoints("c"));
  one(state, "listener", "l", listener("l", "r"));
  one(state, "route", "r", routes("r", "c"));
  const before = state.live;
  one(state, "cluster", "c", cluster("c"));
  one(state, "route", "r", routes("r", "c"));
  assert.equal(state.live.clusters.get("c"), before.clusters.get("c"));
  assert.equal(state.live.routes.get("r"), before.routes.get("r"));
  assert.ok(state.live.version > before.version);
});

test("ConfigState refuses a listener whose certificate cannot be read, and keeps the one before", () => {
  const state = startState();
  one(state, "cluster", "c", cluster("c"));
  one(state, "endpoint", "c", endpoints("c"));
  one(state, "listener", "l", listener("l", "r"));
  one(state, "route", "r", routes("r", "c"));
  const before = state.live.listeners.get("l");
  const secured = structuredClone(listener("l", "r")) as { filter_chains: { transport_socket?: object }[] };
  secured.filter_chains[0]!.transport_socket = {
    name: "tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
      common_tls_context: {
        tls_certificates: [
          { certificate_chain: { filename: "/nowhere/a.pem" }, private_key: { filename: "/nowhere/a.key" } },
        ],
      },
    },
  };
  const refused = {
    code: "BAD_RESOURCE",
    message: /^l: Cannot read .*tls_certificates\[0\]\.certificate_chain \(\/nowhere\/a\.pem\): ENOENT/,
  };
  assert.throws(() => one(state, "listener", "l", secured), refused);
  assert.ok(before !== undefined);
  assert.equal(state.live.listeners.get("l"), before);
});

test("ConfigState refuses a listener with the address of another one, unless that one goes", () => {
  const state = startState();
  one(state, "listener", "l", listener("l", "r"));
  const refused = (name: string, other: string): object => ({
    code: "BAD_RESOURCE",
    message:
      `${name}: Cannot use Listener.address: duplicate address 0.0.0.0:80, ` +
      `wanted another than that of listener "${other}"`,
  });
  assert.throws(() => one(state, "listener", "m", listener("m", "r")), refused("m", "l"));
  const both = [
    { name: "n", resource: listener("n", "r", 81) },
    { name: "l", resource: listener("l", "s") },
    { name: "m", resource: listener("m", "r") },
  ];
  assert.throws(() => state.apply(typeUrls.listener, both, []), refused("m", "l"));
  assert.deepEqual(
    state.listeners.map(({ name }) => name),
    ["l"],
  );
  state.apply(typeUrls.listener, [{ name: "m", resource: listener("m", "r") }], ["l"]);
  const exchanged = [
    { name: "m", resource: listener("m", "r", 81) },
    { name: "l", resource: listener("l", "r") },
  ];
  state.apply(typeUrls.listener, exchanged, []);
  assert.deepEqual(
    state.listeners.map(({ name, port }) => [name, port]),
    [
      ["m", 81],
      ["l", 80],
    ],
  );
  const unbound = { ...listener("o", "r"), bind_to_port: false };
  assert.throws(() => one(state, "listener", "o", unbound), refused("o", "l"));
});

test("ConfigState comes to the same snapshot in whatever order the resources come", () => {
  const resources = [
    ["cluster", "a", cluster("a")],
    ["cluster", "b", cluster("b")],
    ["endpoint", "a", endpoints("a")],
    ["endpoint", "b", endpoints("b")],
    ["listener", "l", listener("l", "r")],
    ["listener", "m", listener("m", "s", 81)],
    ["route", "r", routes("r", "a")],
    ["route", "s", routes("s", "b")],
  ] as const;
  fc.assert(
    fc.property(fc.shuffledSubarray([...resources], { minLength: resources.length }), (order) => {
      const state = startState();
      // A control plane answers what is asked for: names before, contents after.
      const rank = { cluster: 0, listener: 0, endpoint: 1, route: 1 };
      for (const [type, name, resource] of [...order].sort((x, y) => rank[x[0]] - rank[y[0]]))
        one(state, type, name, resource);
      assert.equal(state.isComplete, true);
      assert.deepEqual([...state.live.routes.keys()].sort(), ["r", "s"]);
      assert.deepEqual([...state.live.clusters.keys()].sort(), ["a", "b"]);
    }),
    { numRuns: 50, seed: 2 },
  );
});
