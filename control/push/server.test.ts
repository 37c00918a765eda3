/** Server and client over loopback: subscribe, update, removal, NACK, merge, reconnect and resume. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Client, credentials, type ClientDuplexStream } from "@grpc/grpc-js";
import { httpRoutes } from "#api/gateway/httproute.ts";
import { pods } from "#api/core/pod.ts";
import { serviceTypeUrl } from "#api/wire/service.ts";
import { AdsChannel } from "#api/xds/channel.ts";
import { AdsClient, type AdsResource } from "#api/xds/client.ts";
import {
  adsMethods,
  decodeResponse,
  deltaRequest,
  encodeRequest,
  type DeltaRequest,
  type DeltaResponse,
} from "#api/xds/discovery.ts";
import { typeUrls, type Cluster, type RouteConfiguration } from "#api/xds/envoy.ts";
import { toNode } from "#api/xds/node-id.ts";
import { ManualClock, realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { backend, bookinfo, fill, httpRoute, service } from "../snapshot/fixture.ts";
import { Snapshot } from "../snapshot/index.ts";
import { snapshotKinds } from "../snapshot/kinds.ts";
import { createPushServer, type PushServer } from "./server.ts";

const reviewsRoute = "reviews.default.svc.cluster.local:9080";
const sidecarNode = toNode({ kind: "sidecar", podIP: "10.244.0.3", namespace: "default", podName: "reviews-v1-a" });

interface Setup {
  readonly snapshot: Snapshot;
  readonly clock: ManualClock;
  readonly server: PushServer;
  readonly target: string;
}

async function start(t: TestContext, snapshot: Snapshot = fill(new Snapshot(), bookinfo)): Promise<Setup> {
  const clock = new ManualClock(1000);
  const server = createPushServer({ index: snapshot, clock, log: silentLogger });
  t.after(() => server.close());
  const port = await server.listen("127.0.0.1:0");
  await clock.advance(20);
  return { snapshot, clock, server, target: `127.0.0.1:${port}` };
}

/** Remembers what a handler was given, and lets a test wait for the next. */
class Recorder<T> {
  readonly held = new Map<string, T>();
  readonly log: string[] = [];
  refuse: string | undefined;
  #waiting: (() => void)[] = [];

  apply(updated: readonly AdsResource<T>[], removed: readonly string[]): void {
    this.log.push([...updated.map(({ name }) => name), ...removed.map((name) => `-${name}`)].join(" "));
    queueMicrotask(() => this.#waiting.splice(0).forEach((wake) => wake()));
    if (this.refuse !== undefined) throw new Error(this.refuse);
    for (const { name, resource } of updated) this.held.set(name, resource);
    for (const name of removed) this.held.delete(name);
  }

  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function connect(
  t: TestContext,
  target: string | AdsChannel,
  node = sidecarNode,
): { client: AdsClient; run: () => Promise<void>; stop: () => Promise<void> } {
  const client = new AdsClient({
    target,
    node,
    log: silentLogger,
    clock: realClock,
    random: seededRandom(1),
    backoff: { baseMs: 5, maxMs: 20 },
  });
  const abort = new AbortController();
  let running = Promise.resolve();
  const stop = async (): Promise<void> => (abort.abort(), await running);
  t.after(stop);
  return {
    client,
    run: () => ((running = client.run(abort.signal)), client.whenSynced(AbortSignal.timeout(5000))),
    stop,
  };
}

test("AdsClient follows clusters, endpoints and routes as they change", { timeout: 10_000 }, async (t) => {
  const { snapshot, clock, server, target } = await start(t);
  const { client, run } = connect(t, target);
  const clusters = new Recorder<Cluster>();
  const routes = new Recorder<RouteConfiguration>();
  client.subscribe<Cluster>(typeUrls.cluster, "*", clusters);
  client.subscribe<RouteConfiguration>(typeUrls.route, [reviewsRoute], routes);
  await run();
  assert.equal(clusters.held.get("PassthroughCluster")?.type, "ORIGINAL_DST");
  assert.equal(
    routes.held.get(reviewsRoute)?.virtual_hosts[0]?.routes[0]?.route?.weighted_clusters?.clusters[1]?.weight,
    10,
  );

  const [kind, object] = httpRoute("reviews", { service: "reviews" }, [{ backendRefs: [backend("reviews-v2")] }]);
  const changed = routes.next();
  snapshot.onEvent(kind, "MODIFIED", object);
  await clock.advance(20);
  await changed;
  assert.equal(
    routes.held.get(reviewsRoute)?.virtual_hosts[0]?.routes[0]?.route?.cluster,
    "outbound|9080||reviews-v2.default.svc.cluster.local",
  );

  const gone = clusters.next();
  const [serviceKind, page] = service("productpage", "10.96.0.20", []);
  snapshot.onEvent(serviceKind, "DELETED", page);
  await clock.advance(20);
  await gone;
  assert.equal(clusters.log.at(-1), "-outbound|9080||productpage.default.svc.cluster.local");
  assert.equal(server.status()[0]?.nodeId, sidecarNode.id);
  assert.match(server.metrics.collect(), /^pilot_xds_pushes\{type="cds"\} 2$/m);
});

test(
  "AdsClient rejects what its handler refuses, keeps the last good state, and takes the next change",
  { timeout: 10_000 },
  async (t) => {
    const { snapshot, clock, server, target } = await start(t);
    const { client, run } = connect(t, target);
    const routes = new Recorder<RouteConfiguration>();
    client.subscribe<RouteConfiguration>(typeUrls.route, [reviewsRoute], routes);
    await run();
    routes.refuse = "Cannot take routes: too blue";
    const change = async (weight: number): Promise<void> => {
      const [kind, object] = httpRoute("reviews", { service: "reviews" }, [
        { backendRefs: [backend("reviews-v1", weight), backend("reviews-v2", 1)] },
      ]);
      const pushed = routes.next();
      snapshot.onEvent(kind, "MODIFIED", object);
      await clock.advance(20);
      await pushed;
    };
    await change(5);
    const weight = (): number | undefined =>
      routes.held.get(reviewsRoute)?.virtual_hosts[0]?.routes[0]?.route?.weighted_clusters?.clusters[0]?.weight;
    assert.equal(weight(), 90);
    routes.refuse = undefined;
    await change(6);
    assert.equal(weight(), 6);
    const [type] = server.status()[0]?.types ?? [];
    assert.equal(type?.nacks, 1, "the second push came after the rejection of the first");
  },
);

test(
  "AdsClient resumes after the server was away: nothing again, only what changed or went",
  { timeout: 10_000 },
  async (t) => {
    const first = await start(t);
    const channel = new AdsChannel(first.target);
    t.after(() => channel.close());
    const { client, run } = connect(t, channel, toNode({ kind: "node", nodeName: "node1" }));
    const services = new Recorder<{ name: string }>();
    client.subscribe<{ name: string }>(serviceTypeUrl, "*", services);
    await run();
    assert.equal(services.held.size, 4);
    const lost = new Promise<void>((resolve) => client.onState((state) => state === "disconnected" && resolve()));
    await first.server.close();
    await lost;
    assert.equal(services.held.size, 4, "what it has stays");

    const [kind, changed] = service("reviews", "10.96.0.77", [{ port: 9080 }]);
    const objects = bookinfo.filter(([, object]) => object.metadata.name !== "reviews-v2");
    const snapshot = fill(new Snapshot(), objects);
    snapshot.onEvent(kind, "MODIFIED", changed);
    snapshot.flush();
    const second = createPushServer({ index: snapshot, clock: new ManualClock(), log: silentLogger });
    t.after(() => second.close());
    const pushed = services.next();
    await second.listen(first.target);
    await pushed;
    await client.whenSynced(AbortSignal.timeout(5000));
    assert.deepEqual(services.log.slice(1), ["default/reviews -default/reviews-v2"]);
  },
);

/** A client that acknowledges only when told to. */
function raw(
  t: TestContext,
  target: string,
): {
  stream: ClientDuplexStream<Buffer, Buffer>;
  send: (typeUrl: string, parts: Partial<DeltaRequest>) => void;
  next: () => Promise<DeltaResponse>;
} {
  const client = new Client(target, credentials.createInsecure());
  t.after(() => client.close());
  const same = (bytes: Buffer): Buffer => bytes;
  const stream = client.makeBidiStreamRequest(adsMethods.delta, same, same);
  t.after(() => stream.cancel());
  const responses: DeltaResponse[] = [];
  let wake = (): void => undefined;
  stream.on("data", (bytes: Buffer) => (responses.push(decodeResponse(bytes)), wake()));
  stream.on("error", () => wake());
  return {
    stream,
    send: (typeUrl, parts) => void stream.write(encodeRequest(deltaRequest(typeUrl, parts))),
    next: async () => {
      while (responses.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return responses.shift() as DeltaResponse;
    },
  };
}

test("createPushServer() merges changes for a client that does not acknowledge", { timeout: 10_000 }, async (t) => {
  const { snapshot, clock, server, target } = await start(t);
  const { send, next } = raw(t, target);
  send(typeUrls.route, { node: sidecarNode, subscribe: [reviewsRoute] });
  const first = await next();
  for (const weight of [1, 2, 3]) {
    const [kind, object] = httpRoute("reviews", { service: "reviews" }, [
      { backendRefs: [backend("reviews-v1", weight), backend("reviews-v2", 9)] },
    ]);
    snapshot.onEvent(kind, "MODIFIED", object);
    await clock.advance(20);
  }
  assert.equal(server.status()[0]?.types[0]?.merged, 2);
  send(typeUrls.route, { nonce: first.nonce });
  const second = await next();
  assert.equal(second.resources.length, 1);
  assert.equal(server.metrics.pushes.get("rds"), 2);
});

test("createPushServer() pushes nothing before every kind has synced", { timeout: 10_000 }, async (t) => {
  const snapshot = new Snapshot();
  for (const [kind, object] of bookinfo) snapshot.onEvent(kind, "ADDED", object);
  const { clock, server, target } = await start(t, snapshot);
  const { send, next } = raw(t, target);
  send(typeUrls.route, { node: sidecarNode, subscribe: [reviewsRoute] });
  const response = next();
  for (const kind of snapshotKinds) if (kind !== httpRoutes) snapshot.synced(kind);
  while (server.status().length === 0) await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(200);
  assert.equal(server.metrics.pushes.size, 0);
  snapshot.synced(httpRoutes);
  await clock.advance(20);
  assert.equal((await response).resources[0]?.name, reviewsRoute);
});

test("createPushServer() ends streams that it cannot serve with a sentence", { timeout: 10_000 }, async (t) => {
  const { server, target } = await start(t);
  const ended = (
    send: (stream: ClientDuplexStream<Buffer, Buffer>) => void,
    method: string = adsMethods.delta,
  ): Promise<string> => {
    const client = new Client(target, credentials.createInsecure());
    t.after(() => client.close());
    const same = (bytes: Buffer): Buffer => bytes;
    const stream = client.makeBidiStreamRequest(method, same, same);
    return new Promise((resolve) => {
      stream.on("data", () => undefined);
      stream.on("error", (error) => resolve(error.message));
      send(stream);
    });
  };
  const write = (parts: Partial<DeltaRequest>) => (stream: ClientDuplexStream<Buffer, Buffer>) =>
    void stream.write(encodeRequest(deltaRequest(typeUrls.cluster, parts)));
  assert.match(
    await ended(write({}), adsMethods.stateOfTheWorld),
    /^12 UNIMPLEMENTED: Cannot serve StreamAggregatedResources/,
  );
  assert.match(await ended(write({})), /^3 INVALID_ARGUMENT: Cannot serve stream: its first request has no node/);
  assert.match(
    await ended(write({ node: { id: "me" } })),
    /^3 INVALID_ARGUMENT: Cannot serve node "me": wanted sidecar~/,
  );
  assert.match(
    await ended((stream) => void stream.write(Buffer.from([0x0a]))),
    /^3 INVALID_ARGUMENT: Cannot decode protobuf/,
  );
  assert.equal(server.status().length, 0);
});

test(
  "createPushServer() forgets a client that goes, and refuses more streams than allowed",
  { timeout: 10_000 },
  async (t) => {
    const snapshot = fill(new Snapshot(), bookinfo);
    const server = createPushServer({ index: snapshot, clock: new ManualClock(), log: silentLogger, streamsMax: 1 });
    t.after(() => server.close());
    const target = `127.0.0.1:${await server.listen("127.0.0.1:0")}`;
    const one = raw(t, target);
    one.send(typeUrls.cluster, { node: sidecarNode, subscribe: ["*"] });
    await one.next();
    const two = raw(t, target);
    const refusal = new Promise<Error>((resolve) => two.stream.on("error", resolve));
    two.send(typeUrls.cluster, { node: sidecarNode, subscribe: ["*"] });
    assert.match((await refusal).message, /^8 RESOURCE_EXHAUSTED: Cannot open stream: 1 are open/);
    one.stream.cancel();
    while (server.status().length > 0) await new Promise((resolve) => setImmediate(resolve));
    const three = raw(t, target);
    three.send(typeUrls.cluster, { node: sidecarNode, subscribe: ["*"] });
    assert.ok((await three.next()).resources.length > 0);
  },
);

test("createPushServer() sends a sidecar its inbound side when its pod appears", { timeout: 10_000 }, async (t) => {
  const snapshot = fill(
    new Snapshot(),
    bookinfo.filter(([kind]) => kind !== pods),
  );
  const { clock, target } = await start(t, snapshot);
  const { client, run } = connect(t, target);
  const clusters = new Recorder<Cluster>();
  client.subscribe<Cluster>(typeUrls.cluster, "*", clusters);
  await run();
  assert.equal(clusters.held.has("inbound|9080||"), false);
  const pushed = clusters.next();
  for (const [kind, object] of bookinfo) if (kind === pods) snapshot.onEvent(kind, "ADDED", object);
  await clock.advance(20);
  await pushed;
  assert.equal(clusters.log.at(-1), "inbound|9080||");
});
