/**
 * Endpoints that come and go while connections are opened. Run by proxy.test.ts inside namespaces of its own, never
 * directly. The bench has a minute of it; here it is a few seconds.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { realClock as clock } from "#lib/clock.ts";
import { listenTCP } from "#lib/linux.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { systemExec } from "../../../proxy/l4/exec.ts";
import { endpoint, named, service } from "../../../proxy/l4/fixture.ts";
import { createNodeProxy } from "../../../proxy/state.ts";
import { dial } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";

const seconds = 3;
const perSecond = 500;
const { node, pods, remote } = createNetwork();
const [caller = node] = pods;
const backends = [...pods.slice(1), remote];
const closed = new Set<Place>();
let late = 0;
const closers: (() => void)[] = [];
for (const place of backends) {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    if (closed.has(place)) late++;
    socket.end("x");
  });
  const { namespace } = place;
  server.listen({ fd: listenTCP({ address: place.address, port: 8080, ...(namespace && { namespace }) }) });
  await once(server, "listening");
  closers.push(() => server.close());
}
const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger });
after(() => {
  proxy.close();
  for (const close of closers) close();
});
const vip = { address: "10.96.1.1", port: 80 };
const serveBy = async (places: readonly Place[]): Promise<void> => {
  const endpoints = places.map(({ address }) => endpoint(`${address}:8080`));
  proxy.apply(named(service("web", vip.address, { endpoints })), []);
  await proxy.programmed();
};
await serveBy(backends);
proxy.markSynced();
await proxy.programmed();

async function roll(until: () => boolean): Promise<number> {
  let rolls = 0;
  while (!until()) {
    const gone = backends[rolls++ % backends.length] ?? node;
    await serveBy(backends.filter((place) => place !== gone));
    // What was translated before has its answer on the way; after one turn of the loop all of that is in.
    await clock.sleep(20);
    closed.add(gone);
    await clock.sleep(20);
    closed.delete(gone);
    await serveBy(backends);
  }
  return rolls;
}

test(`${perSecond} connections a second while endpoints roll: none fails, none goes to one that is not ready`, async () => {
  const startMs = clock.monotonicMs();
  const isOver = (): boolean => clock.monotonicMs() - startMs > seconds * 1000;
  const rolled = roll(isOver);
  const failures: string[] = [];
  const calls: Promise<void>[] = [];
  while (!isOver()) {
    const due = Math.floor(((clock.monotonicMs() - startMs) * perSecond) / 1000);
    for (; calls.length < due;)
      calls.push(
        dial(caller, vip).then(
          (socket) => void socket.destroy(),
          (error: unknown) => void failures.push(String(error)),
        ),
      );
    await clock.sleep(2);
  }
  await Promise.all(calls);
  assert.ok((await rolled) >= 10);
  assert.ok(calls.length >= perSecond * (seconds - 1));
  assert.deepEqual([failures, late], [[], 0]);
});
