import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientStatus } from "../../control/push/server.ts";
import { clientsOf } from "./sync-page.ts";

type Type = ClientStatus["types"][number];

const type = (fields: Partial<Type>): Type => ({
  typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  resources: 2,
  outstanding: false,
  pending: 0,
  merged: 0,
  nacks: 0,
  nackMessage: "",
  ...fields,
});
const page = (...clients: readonly [nodeId: string, ...types: Type[]][]): Parameters<typeof clientsOf>[0] => ({
  revision: 9,
  synced: true,
  problems: {},
  clients: clients.map(([nodeId, ...types]) => ({ nodeId, connectedMs: 5, types })),
});

test("clientsOf() names the two streams of a node, sidecars and gateways", () => {
  const clients = clientsOf(
    page(
      ["node~node1", type({ typeUrl: "type.googleapis.com/wherry.v1.Service" })],
      ["node~node1", type({ typeUrl: "type.googleapis.com/wherry.v1.Workload" })],
      ["sidecar~10.244.1.2~web.v1-abc.shop~shop.svc.cluster.local", type({})],
      ["router~10.244.1.3~gw-x.default~default.svc.cluster.local", type({})],
    ),
  );
  assert.deepEqual(
    clients.map(({ name, kind }) => `${name} ${kind}`),
    ["default/gw-x gateway", "node1/proxy,dns proxy,dns", "node1/sidecars sidecars", "shop/web.v1-abc sidecar"],
  );
});

test("clientsOf() adds the types up; a rejection weighs more than being behind", () => {
  const [client] = clientsOf(
    page([
      "sidecar~10.244.1.2~web.shop~shop.svc.cluster.local",
      type({ outstanding: true, pending: 3, pushedVersion: 9, ackedVersion: 8, pushedAgoMs: 40 }),
      type({ typeUrl: "listener", nacks: 1, nackMessage: "name: wanted a text", pushedVersion: 7, pushedAgoMs: 90 }),
    ]),
  );
  assert.deepEqual(client, {
    name: "shop/web",
    kind: "sidecar",
    state: "rejects",
    connectedMs: 5,
    resources: 4,
    pending: 3,
    nacks: 1,
    pushedVersion: 9,
    ackedVersion: 8,
    pushedAgoMs: 40,
    rejection: "name: wanted a text",
  });
});

test("clientsOf() says in sync only when nothing is under way", () => {
  const state = (fields: Partial<Type>): string | undefined => clientsOf(page(["node~n", type(fields)]))[0]?.state;
  assert.equal(state({}), "in sync");
  assert.equal(state({ outstanding: true }), "behind");
  assert.equal(state({ pending: 1 }), "behind");
});
