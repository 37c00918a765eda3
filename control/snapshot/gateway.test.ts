/** Gateways: attachment, host names, statuses, and what serves them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Gateway, GatewayListener } from "#api/gateway/gateway.ts";
import { httpRoutes, type HTTPRoute } from "#api/gateway/httproute.ts";
import { backend, fill, gateway, gatewayClass, httpRoute, namespace, service, slice, type Fixture } from "./fixture.ts";
import { gatewayResourcesOf } from "./gateway.ts";
import { gatewayWorkloadOf } from "./gateway-deployment.ts";
import { covers, intersect } from "./hostname.ts";
import { Snapshot } from "./index.ts";
import { gatewayStatusOf, httpRouteStatusOf } from "./status.ts";

const nowMs = Date.UTC(2026, 0, 2);
const rules = (name: string): HTTPRoute["spec"]["rules"] & object => [{ name, backendRefs: [backend("a")] }];

function setup(
  listeners: readonly GatewayListener[],
  more: readonly Fixture[],
): { gateway: Gateway; snapshot: Snapshot } {
  const made = gateway("gw", listeners);
  const snapshot = fill(new Snapshot(), [
    namespace("default"),
    gatewayClass,
    service("a", "10.96.0.1", [{ port: 9080 }]),
    slice("a", 9080, []),
    made,
    ...more,
  ]);
  return { gateway: made[1], snapshot };
}

function hosts(
  { gateway, snapshot }: ReturnType<typeof setup>,
  port: number,
): Record<string, readonly (string | undefined)[]> {
  const config = gatewayResourcesOf(gateway, snapshot.objects).routes.find(({ name }) => name === `http.${port}`);
  return Object.fromEntries(
    (config?.virtual_hosts ?? []).map(({ name, routes }) => [name, routes.map((route) => route.name)]),
  );
}

function accepted({ snapshot }: ReturnType<typeof setup>, name: string): string {
  const route = snapshot.objects.httproutes.get(name) as HTTPRoute;
  const [accepted, resolved] = httpRouteStatusOf(route, snapshot.objects, nowMs)?.parents[0]?.conditions ?? [];
  return `${accepted?.status} ${accepted?.reason} ${resolved?.status} ${resolved?.reason}`;
}

test("gatewayResourcesOf() gives each host name its routes, the most specific first", () => {
  const made = setup(
    [{ name: "http", port: 80, protocol: "HTTP" }],
    [
      httpRoute("wide", { gateway: "gw" }, rules("w"), { hostnames: ["*.example.com"] }),
      httpRoute("exact", { gateway: "gw" }, rules("e"), { hostnames: ["a.example.com"] }),
      httpRoute("any", { gateway: "gw" }, rules("x")),
    ],
  );
  assert.deepEqual(hosts(made, 80), {
    "*": ["default/any/x"],
    "*.example.com": ["default/wide/w", "default/any/x"],
    "a.example.com": ["default/exact/e", "default/wide/w", "default/any/x"],
  });
});

test("gatewayResourcesOf() keeps a request to the listener with the most specific host name", () => {
  const made = setup(
    [
      { name: "all", port: 80, protocol: "HTTP" },
      { name: "shop", port: 80, protocol: "HTTP", hostname: "*.shop.example" },
    ],
    [
      httpRoute("one", { gateway: "gw", sectionName: "all" }, rules("1"), {
        hostnames: ["a.shop.example", "b.example"],
      }),
      httpRoute("two", { gateway: "gw", sectionName: "shop" }, rules("2")),
    ],
  );
  assert.deepEqual(hosts(made, 80), { "*": [], "*.shop.example": ["default/two/2"], "b.example": ["default/one/1"] });
});

test("httpRouteStatusOf() says why a route does not attach", () => {
  const closed: GatewayListener = { name: "http", port: 80, protocol: "HTTP", hostname: "a.example" };
  const made = setup(
    [closed, { name: "tls", port: 443, protocol: "HTTPS" }],
    [
      httpRoute("ok", { gateway: "gw" }, rules("r")),
      httpRoute("section", { gateway: "gw", sectionName: "none" }, rules("r")),
      httpRoute("tls", { gateway: "gw", sectionName: "tls" }, rules("r")),
      httpRoute("host", { gateway: "gw" }, rules("r"), { hostnames: ["b.example"] }),
      httpRoute("far", { gateway: "gw", namespace: "default" }, rules("r"), { namespace: "shop" }),
      httpRoute("filter", { gateway: "gw" }, [{ filters: [{ type: "RequestMirror" }] }]),
      httpRoute("gone", { gateway: "gw" }, [{ backendRefs: [backend("gone")] }]),
      httpRoute("grant", { gateway: "gw" }, [{ backendRefs: [{ ...backend("a"), namespace: "shop" }] }]),
      httpRoute("kind", { gateway: "gw" }, [{ backendRefs: [{ ...backend("a"), kind: "Bucket" }] }]),
      httpRoute("mesh", { service: "a" }, rules("r")),
      httpRoute("mesh-port", { service: "a", port: 1 }, rules("r")),
      httpRoute("mesh-gone", { service: "gone" }, rules("r")),
    ],
  );
  const wanted: Readonly<Record<string, string>> = {
    "default/ok": "True Accepted True ResolvedRefs",
    "default/section": "False NoMatchingParent True ResolvedRefs",
    "default/tls": "False NotAllowedByListeners True ResolvedRefs",
    "default/host": "False NoMatchingListenerHostname True ResolvedRefs",
    "shop/far": "False NotAllowedByListeners False BackendNotFound",
    "default/filter": "False UnsupportedValue True ResolvedRefs",
    "default/gone": "True Accepted False BackendNotFound",
    "default/grant": "True Accepted False RefNotPermitted",
    "default/kind": "True Accepted False InvalidKind",
    "default/mesh": "True Accepted True ResolvedRefs",
    "default/mesh-port": "False NoMatchingParent True ResolvedRefs",
    "default/mesh-gone": "False NoMatchingParent True ResolvedRefs",
  };
  for (const [name, conditions] of Object.entries(wanted)) assert.equal(accepted(made, name), conditions, name);
});

test("httpRouteStatusOf() keeps other controllers' entries and the times of conditions that stay", () => {
  const made = setup([{ name: "http", port: 80, protocol: "HTTP" }], [httpRoute("r", { gateway: "gw" }, rules("r"))]);
  const route = made.snapshot.objects.httproutes.get("default/r") as HTTPRoute;
  const foreign = { parentRef: { name: "x" }, controllerName: "other.example/c", conditions: [] };
  const first = httpRouteStatusOf({ ...route, status: { parents: [foreign] } }, made.snapshot.objects, nowMs);
  const again = { ...route, ...(first === undefined ? {} : { status: first }) };
  made.snapshot.onEvent(httpRoutes, "MODIFIED", again);
  assert.deepEqual(httpRouteStatusOf(again, made.snapshot.objects, nowMs + 60_000), first);
  assert.equal(first?.parents[0], foreign);
});

test("gatewayStatusOf() counts attached routes and refuses listeners that it cannot serve", () => {
  const { gateway: made, snapshot } = setup(
    [
      { name: "http", port: 80, protocol: "HTTP" },
      { name: "tls", port: 443, protocol: "HTTPS" },
      { name: "twin-a", port: 81, protocol: "HTTP" },
      { name: "twin-b", port: 81, protocol: "HTTP" },
    ],
    [
      httpRoute("one", { gateway: "gw" }, rules("1")),
      httpRoute("two", { gateway: "gw", sectionName: "http" }, rules("2")),
    ],
  );
  const status = gatewayStatusOf(made, ["10.96.0.9"], snapshot.objects, nowMs);
  assert.deepEqual(
    status.listeners?.map(({ name, attachedRoutes, conditions }) => [
      name,
      attachedRoutes,
      conditions.map(({ type, status: is, reason }) => `${type}=${is} ${reason}`).join(", "),
    ]),
    [
      [
        "http",
        2,
        "Accepted=True Accepted, Conflicted=False NoConflicts, ResolvedRefs=True ResolvedRefs, Programmed=True Programmed",
      ],
      [
        "tls",
        0,
        "Accepted=False UnsupportedProtocol, Conflicted=False NoConflicts, ResolvedRefs=True ResolvedRefs, Programmed=False Invalid",
      ],
      [
        "twin-a",
        0,
        "Accepted=False HostnameConflict, Conflicted=True HostnameConflict, ResolvedRefs=True ResolvedRefs, Programmed=False Invalid",
      ],
      [
        "twin-b",
        0,
        "Accepted=False HostnameConflict, Conflicted=True HostnameConflict, ResolvedRefs=True ResolvedRefs, Programmed=False Invalid",
      ],
    ],
  );
  assert.deepEqual(
    status.conditions?.map(({ type, status: is, reason }) => `${type}=${is} ${reason}`),
    ["Accepted=True ListenersNotValid", "Programmed=True Programmed"],
  );
  assert.equal(gatewayStatusOf(made, [], snapshot.objects, nowMs).conditions?.[1]?.reason, "AddressNotAssigned");
});

test("gatewayWorkloadOf() makes a Deployment and a Service owned by the Gateway", () => {
  const [, made] = gateway("gw", [
    { name: "a", port: 80, protocol: "HTTP" },
    { name: "b", port: 80, protocol: "HTTP", hostname: "x" },
  ]);
  const workload = gatewayWorkloadOf(made);
  assert.equal(workload?.deployment.metadata.name, "gw-wherry");
  assert.equal(workload?.service.metadata.ownerReferences?.[0]?.uid, "uid-default-gw");
  assert.deepEqual(
    workload?.service.spec.ports?.map(({ port }) => port),
    [80],
  );
  assert.deepEqual(workload?.deployment.spec.template.metadata?.labels, workload?.service.spec.selector);
  assert.equal(gatewayWorkloadOf(gateway("gw", [{ name: "a", port: 443, protocol: "HTTPS" }])[1]), undefined);
});

test("covers() and intersect() follow Gateway API's host names", () => {
  assert.ok(covers("*.a.com", "x.y.a.com"));
  assert.ok(covers("*.com", "*.a.com"));
  assert.ok(!covers("*.a.com", "a.com"));
  assert.ok(!covers("*.a.com", "*.a.com".slice(2)));
  assert.ok(!covers("a.com", "*.a.com"));
  assert.deepEqual(intersect("*.a.com", ["b.a.com", "*.com", "c.com"]), ["b.a.com", "*.a.com"]);
  assert.deepEqual(intersect(undefined, undefined), ["*"]);
});
