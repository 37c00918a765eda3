/**
 * Endpoints that come and go while connections are opened. Run by model.test.ts inside namespaces of its own, never
 * directly. The bench has a minute of it (l4-traffic.bench.ts); here it is a few seconds.
 *
 *   node rolling.ts [SECONDS] [EXACT_MAX]        0: a plain Service, which each roll moves to another set and back
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

const [seconds, exactMax] = [Number(process.argv[2] ?? "3"), Number(process.argv[3] ?? "1000")];
const perSecond = 500;
const { node, pods, remote } = createNetwork();
const [caller = node] = pods;
const backends = [...pods.slice(1), remote];
/** When a place was no endpoint, in ms: from the moment that the kernel knew to the one before it is told otherwise. */
const away = new Map<Place, { readonly fromMs: number; untilMs: number }[]>(backends.map((place) => [place, []]));
interface Call {
  readonly place: Place;
  readonly dialedMs: number;
  readonly connectedMs: number;
}
const calls: Call[] = [];
const closers: (() => void)[] = [];
for (const place of backends) {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    // The caller says when it dialed and when it was connected; this process may learn of it much later.
    socket.once("data", (data) => {
      const [dialedMs = 0, connectedMs = 0] = data.toString().split(" ").map(Number);
      calls.push({ place, dialedMs, connectedMs });
      socket.end("x");
    });
  });
  const { namespace } = place;
  server.listen({ fd: listenTCP({ address: place.address, port: 8080, ...(namespace && { namespace }) }) });
  await once(server, "listening");
  closers.push(() => server.close());
}
const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger, facts: { exactMax } });
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
    const absence = { fromMs: clock.monotonicMs(), untilMs: Infinity };
    away.get(gone)?.push(absence);
    await clock.sleep(40);
    absence.untilMs = clock.monotonicMs();
    await serveBy(backends);
  }
  return rolls;
}

/** One connection, which ends when its endpoint has answered. */
async function call(): Promise<void> {
  const dialedMs = clock.monotonicMs();
  const socket = await dial(caller, vip);
  socket.write(`${dialedMs} ${clock.monotonicMs()}`);
  await once(socket.resume(), "end");
  socket.destroy();
}

/** Whether all of it was while the place was away. */
function isWithin({ dialedMs, connectedMs }: Call, place: Place): boolean {
  return away.get(place)?.some(({ fromMs, untilMs }) => dialedMs >= fromMs && connectedMs <= untilMs) ?? false;
}

test(`${perSecond} connections a second while endpoints roll: none fails, none goes to one that is not ready`, async () => {
  const startMs = clock.monotonicMs();
  const isOver = (): boolean => clock.monotonicMs() - startMs > seconds * 1000;
  const rolled = roll(isOver);
  const failures: string[] = [];
  const made: Promise<void>[] = [];
  while (!isOver()) {
    const due = Math.floor(((clock.monotonicMs() - startMs) * perSecond) / 1000);
    while (made.length < due) made.push(call().catch((error: unknown) => void failures.push(String(error))));
    await clock.sleep(2);
  }
  await Promise.all(made);
  const rolls = await rolled;
  const judged = calls.filter((each) => backends.some((place) => isWithin(each, place)));
  const wrong = calls.filter((each) => isWithin(each, each.place));
  console.log(
    `rolled: ${made.length} connections, ${rolls} rolls, ${failures.length} failed, ${wrong.length} to one not ready`,
  );
  assert.ok(rolls >= 10);
  assert.ok(made.length >= perSecond * (seconds - 1));
  assert.deepEqual(failures, []);
  assert.equal(calls.length, made.length);
  assert.ok(judged.length >= 100, `${judged.length} while somebody was away`);
  assert.deepEqual(wrong, []);
});
