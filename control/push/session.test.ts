/** The session's rules, one scenario each: wildcard, names, missing names, ack, nack, merge, order, resume, chunks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { deltaRequest, type DeltaRequest } from "#api/xds/discovery.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import { Session, type Push, type PushedResource, type SessionChanges, type SessionView } from "./session.ts";

const { cluster: CDS, endpoint: EDS, listener: LDS, route: RDS } = typeUrls;

/** A view over plain maps; a resource's wire form is "name@version". */
class FakeView implements SessionView {
  readonly scopes: readonly string[] = ["all"];
  readonly tables: Map<string, Map<string, PushedResource>> = new Map();

  get(typeUrl: string, name: string): PushedResource | undefined {
    return this.tables.get(typeUrl)?.get(name);
  }

  names(typeUrl: string): Iterable<string> {
    return this.tables.get(typeUrl)?.keys() ?? [];
  }

  /** Sets a version, or deletes with undefined. The changes to report. */
  set(typeUrl: string, versions: Readonly<Record<string, string | undefined>>): SessionChanges {
    const table = this.tables.get(typeUrl) ?? new Map<string, PushedResource>();
    this.tables.set(typeUrl, table);
    for (const [name, version] of Object.entries(versions))
      if (version === undefined) table.delete(name);
      else table.set(name, { version, wire: Buffer.from(`${name}@${version}`) });
    return new Map([["all", new Map([[typeUrl, new Set(Object.keys(versions))]])]]);
  }
}

function start(bytesMax?: number): { view: FakeView; session: Session; request: typeof ask; all: () => string[] } {
  const view = new FakeView();
  const session = new Session(view, bytesMax);
  const ask = (typeUrl: string, parts: Partial<DeltaRequest> = {}): void =>
    void session.onRequest(deltaRequest(typeUrl, parts), 50);
  return { view, session, request: ask, all: () => drain(session) };
}

function drain(session: Session): string[] {
  const pushes: string[] = [];
  for (let push = session.next(); push !== undefined; push = session.next()) pushes.push(format(push));
  return pushes;
}

/** "CDS 1: a@1 b@1 -c" */
function format({ typeUrl, nonce, encodedResources, removed }: Push): string {
  const short =
    new Map<string, string>([
      [CDS, "CDS"],
      [EDS, "EDS"],
      [LDS, "LDS"],
      [RDS, "RDS"],
    ]).get(typeUrl) ?? typeUrl;
  return [
    `${short} ${nonce}:`,
    ...encodedResources.map((wire) => Buffer.from(wire).toString()),
    ...removed.map((name) => `-${name}`),
  ].join(" ");
}

test("next() answers a wildcard with everything, and with nothing when there is nothing", () => {
  const { view, request, all } = start();
  view.set(CDS, { a: "1", b: "1" });
  request(CDS, { subscribe: ["*"] });
  request(LDS);
  assert.deepEqual(all(), ["CDS 1: a@1 b@1"]);
  request(CDS, { nonce: "1" });
  assert.deepEqual(all(), ["LDS 2:"]);
  request(LDS, { nonce: "2" });
  assert.deepEqual(all(), [], "an acknowledgement is not answered");
});

test("next() says at once that a name is missing, and pushes it when it appears", () => {
  const { view, session, request, all } = start();
  request(EDS, { subscribe: ["x"] });
  assert.deepEqual(all(), ["EDS 1: -x"]);
  request(EDS, { nonce: "1" });
  session.onChanges(view.set(EDS, { x: "1", y: "1" }), 10);
  assert.deepEqual(all(), ["EDS 2: x@1"]);
});

test("next() holds changes while a push is outstanding and merges them into the next", () => {
  const { view, session, request, all } = start();
  view.set(EDS, { x: "1", y: "1" });
  request(EDS, { subscribe: ["x", "y"] });
  assert.deepEqual(all(), ["EDS 1: x@1 y@1"]);
  session.onChanges(view.set(EDS, { x: "2" }), 10);
  session.onChanges(view.set(EDS, { x: "3", y: "2" }), 20);
  assert.deepEqual(all(), []);
  assert.equal(session.status()[0]?.merged, 1);
  assert.deepEqual(session.onRequest(deltaRequest(EDS, { nonce: "stale" }), 30).kind, "none");
  assert.deepEqual(all(), []);
  request(EDS, { nonce: "1" });
  assert.deepEqual(all(), ["EDS 2: x@3 y@2"]);
  assert.deepEqual(session.onRequest(deltaRequest(EDS, { nonce: "2" }), 60), {
    kind: "ack",
    typeUrl: EDS,
    convergedMs: 50,
  });
});

test("onRequest() remembers a rejection and sends the same again only after a change", () => {
  const { view, session, request, all } = start();
  view.set(RDS, { r: "1" });
  request(RDS, { subscribe: ["r"] });
  all();
  assert.equal(
    session.onRequest(deltaRequest(RDS, { nonce: "1", error: { code: 3, message: "bad regex" } }), 1).kind,
    "nack",
  );
  assert.deepEqual(all(), []);
  assert.deepEqual(session.status()[0], {
    typeUrl: RDS,
    resources: 1,
    outstanding: false,
    pending: 0,
    merged: 0,
    nacks: 1,
    nackMessage: "bad regex",
  });
  session.onChanges(view.set(RDS, { r: "2" }), 5);
  assert.deepEqual(all(), ["RDS 2: r@2"]);
  request(RDS, { nonce: "2" });
  assert.equal(session.status()[0]?.nackMessage, "");
});

test("next() sends clusters and their endpoints before listeners and routes", () => {
  const { view, request, all } = start();
  view.set(CDS, { c: "1" });
  view.set(EDS, { c: "1" });
  view.set(LDS, { l: "1" });
  view.set(RDS, { r: "1" });
  request(LDS, { subscribe: ["*"] });
  request(RDS, { subscribe: ["r"] });
  request(CDS, { subscribe: ["*"] });
  assert.deepEqual(all(), ["CDS 1: c@1"]);
  request(EDS, { subscribe: ["c"] });
  request(CDS, { nonce: "1" });
  assert.deepEqual(all(), ["EDS 2: c@1"]);
  request(EDS, { nonce: "2" });
  assert.deepEqual(all(), ["LDS 3: l@1", "RDS 4: r@1"]);
});

test("next() removes clusters only after the routes that named them are replaced", () => {
  const { view, session, request, all } = start();
  view.set(CDS, { old: "1" });
  view.set(RDS, { r: "1" });
  request(CDS, { subscribe: ["*"] });
  request(RDS, { subscribe: ["r"] });
  assert.deepEqual(all(), ["CDS 1: old@1"]);
  request(CDS, { nonce: "1" });
  assert.deepEqual(all(), ["RDS 2: r@1"]);
  request(RDS, { nonce: "2" });
  session.onChanges(view.set(CDS, { old: undefined, new: "1" }), 1);
  session.onChanges(view.set(RDS, { r: "2" }), 1);
  assert.deepEqual(all(), ["CDS 3: new@1"]);
  request(CDS, { nonce: "3" });
  assert.deepEqual(all(), ["RDS 4: r@2"]);
  request(RDS, { nonce: "4" });
  assert.deepEqual(all(), ["CDS 5: -old"]);
});

test("next() repeats the endpoints of a cluster that changed", () => {
  const { view, session, request, all } = start();
  view.set(CDS, { c: "1" });
  view.set(EDS, { c: "1" });
  request(CDS, { subscribe: ["*"] });
  request(EDS, { subscribe: ["c"] });
  all();
  request(CDS, { nonce: "1" });
  request(EDS, { nonce: "2" });
  session.onChanges(view.set(CDS, { c: "2" }), 1);
  assert.deepEqual(all(), ["CDS 3: c@2", "EDS 4: c@1"]);
});

test("onRequest() resumes from initial versions: only what changed, and what is gone", () => {
  const { view, request, all } = start();
  view.set(EDS, { same: "1", changed: "2", fresh: "1" });
  request(EDS, { subscribe: ["*"], initialVersions: { same: "1", changed: "1", gone: "1" } });
  assert.deepEqual(all(), ["EDS 1: changed@2 fresh@1"]);
  request(EDS, { nonce: "1" });
  assert.deepEqual(all(), ["EDS 2: -gone"]);
});

test("onRequest() forgets names that are unsubscribed, and repeats one that a wildcard still covers", () => {
  const { view, session, request, all } = start();
  view.set(EDS, { x: "1", y: "1" });
  request(EDS, { subscribe: ["x", "y"] });
  all();
  request(EDS, { nonce: "1", unsubscribe: ["x"] });
  session.onChanges(view.set(EDS, { x: "2", y: undefined }), 1);
  assert.deepEqual(all(), ["EDS 2: -y"]);
  request(EDS, { nonce: "2", subscribe: ["*"] });
  assert.deepEqual(all(), ["EDS 3: x@2"]);
  request(EDS, { nonce: "3", unsubscribe: ["x"] });
  assert.deepEqual(all(), ["EDS 4: x@2"]);
});

test("next() splits what is too large for one response", () => {
  const { view, request, all } = start(6);
  view.set(EDS, { a: "1", b: "1", c: "1" });
  request(EDS, { subscribe: ["*"] });
  assert.deepEqual(all(), ["EDS 1: a@1 b@1"]);
  request(EDS, { nonce: "1" });
  assert.deepEqual(all(), ["EDS 2: c@1"]);
});

test("next() leads every client to the newest state, whatever changes and answers come when", () => {
  const types: readonly string[] = [CDS, EDS, LDS, RDS];
  const name = fc.constantFrom("a", "b", "c");
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("set" as const),
      type: fc.constantFrom(...types),
      name,
      version: fc.option(fc.constantFrom("1", "2", "3"), { nil: undefined }),
    }),
    fc.record({ kind: fc.constant("answer" as const), type: fc.constantFrom(...types) }),
    fc.record({ kind: fc.constant("reconnect" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const view = new FakeView();
      const held = new Map(types.map((typeUrl) => [typeUrl, new Map<string, string>()]));
      let session = new Session(view);
      let waiting = new Map<string, string>();
      const connect = (): void => {
        session = new Session(view);
        waiting = new Map();
        for (const typeUrl of types)
          session.onRequest(
            deltaRequest(typeUrl, { subscribe: ["*"], initialVersions: Object.fromEntries(held.get(typeUrl) ?? []) }),
            0,
          );
      };
      const receive = (): void => {
        for (let push = session.next(); push !== undefined; push = session.next()) {
          assert.ok(!waiting.has(push.typeUrl), "one push is outstanding at most");
          waiting.set(push.typeUrl, push.nonce);
          for (const wire of push.encodedResources) {
            const [resource = "", version = ""] = Buffer.from(wire).toString().split("@");
            held.get(push.typeUrl)?.set(resource, version);
          }
          for (const gone of push.removed)
            assert.ok(held.get(push.typeUrl)?.delete(gone), "only what is held is removed");
        }
      };
      const answer = (typeUrl: string): void => {
        const nonce = waiting.get(typeUrl);
        if (nonce === undefined) return;
        waiting.delete(typeUrl);
        session.onRequest(deltaRequest(typeUrl, { nonce }), 0);
        receive();
      };
      connect();
      receive();
      for (const one of steps) {
        if (one.kind === "set") session.onChanges(view.set(one.type, { [one.name]: one.version }), 1);
        else if (one.kind === "answer") answer(one.type);
        else connect();
        receive();
      }
      for (let round = 0; round < 20; round++) types.forEach(answer);
      for (const typeUrl of types)
        assert.deepEqual(
          Object.fromEntries([...(held.get(typeUrl) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))),
          Object.fromEntries([...view.names(typeUrl)].sort().map((one) => [one, view.get(typeUrl, one)?.version])),
        );
    }),
    { numRuns: 500 },
  );
});
