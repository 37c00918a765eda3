/** The proxy alone, in its own process's way: what it does when it cannot begin. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import test from "node:test";
import { FakeKubeClient } from "#api/client/fake.ts";
import { realClock as clock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { parseConfiguration, type ProxyConfiguration } from "./kube/configuration.ts";
import { StandaloneProxy } from "./main.ts";

async function hold(t: test.TestContext): Promise<number> {
  const server: Server = createServer();
  server.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A port that nothing has at this moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => (socket.destroy(), resolve(true))).once("error", () => resolve(false));
  });

/** Runs until it rejects, and tells whether its watches ended, too. */
async function fail(config: ProxyConfiguration): Promise<unknown> {
  let watches = 0;
  const api = new FakeKubeClient();
  const client: Pick<FakeKubeClient, "list" | "watch"> = {
    list: (kind, options) => api.list(kind, options),
    async *watch(kind, options, signal) {
      watches++;
      try {
        yield* api.watch(kind, options, signal);
      } finally {
        watches--;
      }
    },
  };
  const log = silentLogger;
  const exec = (): Promise<never> => Promise.reject(new Error("not here"));
  const options = {
    config,
    client,
    nodeName: "n1",
    exec,
    openWatch: () => undefined,
    clock,
    random: seededRandom(1),
    log,
  };
  const error = await new StandaloneProxy(options).run(new AbortController().signal).catch((reason: unknown) => reason);
  assert.equal(watches, 0, "watches that go on");
  return error;
}

test("a proxy whose facts are wrong ends, with its pages and its watches", { timeout: 20_000 }, async () => {
  const [health, metrics] = [await freePort(), await freePort()];
  const config = parseConfiguration(undefined, {
    "proxy-mode": "userspace",
    "healthz-bind-address": `127.0.0.1:${health}`,
    "metrics-bind-address": `127.0.0.1:${metrics}`,
    "conntrack-max-per-core": "0",
  });
  const error = await fail({ ...config, nodePortAddresses: ["foo"] });
  assert.match(String(error), /nodePortAddresses: observed "foo"/);
  assert.deepEqual([await isOpen(health), await isOpen(metrics)], [false, false]);
});

test("a proxy that may not go on without its pages closes those that it has", { timeout: 20_000 }, async (t) => {
  const [health, metrics] = [await freePort(), await hold(t)];
  const config = parseConfiguration(undefined, {
    "proxy-mode": "userspace",
    "healthz-bind-address": `127.0.0.1:${health}`,
    "metrics-bind-address": `127.0.0.1:${metrics}`,
    "bind-address-hard-fail": "true",
  });
  assert.match(String(await fail(config)), /Cannot serve metrics on 127\.0\.0\.1:[0-9]+: .*EADDRINUSE/);
  assert.equal(await isOpen(health), false);
});
