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

function startState(clock: ManualClock = new ManualClock()): ConfigState {
  const deps = {
    dial: () => {
      throw new Error("Cannot dial: a state has no sockets");
    },
    wheel: new TimerWheel(clock),
    nowMs: () => clock.monotonicMs(),
    wallMs: () => clock.nowMs(),
    after: (delayMs: number, callback: () => void) => void clock.after(delayMs, callback),
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
const listener = (name: string, route: string): object => ({
  name,
  address: { socket_address: { address: "0.0.0.0", port_value: 80 } },
  filter_chains: [
    {
      filters: [
        {
          name: "hcm",
          typed_config: {
            "@type": typeUrls.httpConnectionManager,
            stat_prefix: "x",
            http_filters: [],
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

test("ConfigState comes to the same snapshot in whatever order the resources come", () => {
  const resources = [
    ["cluster", "a", cluster("a")],
    ["cluster", "b", cluster("b")],
    ["endpoint", "a", endpoints("a")],
    ["endpoint", "b", endpoints("b")],
    ["listener", "l", listener("l", "r")],
    ["listener", "m", listener("m", "s")],
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
