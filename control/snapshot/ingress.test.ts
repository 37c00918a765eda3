/** Ingresses become routes of one Gateway, and follow their Services and classes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { services, type Service } from "#api/core/service.ts";
import type { HTTPRoute } from "#api/gateway/httproute.ts";
import { ingresses, type Ingress } from "#api/networking/ingress.ts";
import { ingressClasses, type IngressClass, ingressController } from "#api/networking/ingress-class.ts";
import { fill, gateway, gatewayClass, namespace, service, slice } from "./fixture.ts";
import { gatewayResourcesOf } from "./gateway.ts";
import { Snapshot } from "./index.ts";
import { ingressGateway, IngressRoutes, isOurIngress, routesOfIngress } from "./ingress.ts";

const ourClass: IngressClass = {
  apiVersion: "networking.k8s.io/v1",
  kind: "IngressClass",
  metadata: { name: "wherry", annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
  spec: { controller: ingressController },
};
const to = (name: string, port: { name?: string; number?: number } = { number: 80 }) => ({ service: { name, port } });

function ingress(name: string, spec: Ingress["spec"]): Ingress {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name, namespace: "default", uid: `uid-${name}`, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec,
  };
}

function serviceMap(...names: readonly string[]): Map<string, Service> {
  const make = (name: string): Service => service(name, "10.96.0.9", [{ name: "web", port: 8080 }])[1];
  return new Map(names.map((name) => [`default/${name}`, make(name)]));
}

/** `host path -> service:port` of each rule. */
function lines(routes: readonly HTTPRoute[]): string[] {
  return routes.flatMap(({ spec }) =>
    (spec.rules ?? []).map(({ matches, backendRefs }) => {
      const [ref] = backendRefs ?? [];
      const path = matches?.[0]?.path;
      return `${spec.hostnames?.[0] ?? "*"} ${path?.type} ${path?.value} -> ${ref?.name}:${ref?.port ?? "none"}`;
    }),
  );
}

test("routesOfIngress() makes a route a host, with every kind of path, and one for the default backend", () => {
  const made = routesOfIngress(
    ingress("shop", {
      defaultBackend: to("other"),
      rules: [
        {
          host: "shop.example.com",
          http: {
            paths: [
              { path: "/cart", pathType: "Exact", backend: to("cart") },
              { path: "/", pathType: "Prefix", backend: to("web", { name: "web" }) },
            ],
          },
        },
        { http: { paths: [{ pathType: "ImplementationSpecific", backend: to("any") }] } },
        { host: "shop.example.com", http: { paths: [{ path: "/a", pathType: "Prefix", backend: to("a") }] } },
      ],
    }),
    serviceMap("web"),
  );
  assert.deepEqual(lines(made), [
    "shop.example.com Exact /cart -> cart:80",
    "shop.example.com PathPrefix / -> web:8080",
    "shop.example.com PathPrefix /a -> a:80",
    "* PathPrefix / -> any:80",
    "* PathPrefix / -> other:80",
  ]);
  assert.ok(
    made.every(({ metadata }) => metadata.name.includes(":")),
    "names that no stored route can have",
  );
});

test("routesOfIngress() leaves a port that the Service does not have open", () => {
  const spec = { defaultBackend: to("web", { name: "nowhere" }) };
  assert.deepEqual(lines(routesOfIngress(ingress("i", spec), serviceMap("web"))), ["* PathPrefix / -> web:none"]);
});

test("isOurIngress() takes our class, by name, annotation or default, and no other", () => {
  const other: IngressClass = {
    ...ourClass,
    metadata: { name: "nginx" },
    spec: { controller: "k8s.io/ingress-nginx" },
  };
  const classes = new Map([ourClass, other].map((each) => [each.metadata.name, each]));
  const spec = { defaultBackend: to("a") };
  const annotated = (value: string): Ingress => {
    const made = ingress("i", spec);
    return { ...made, metadata: { ...made.metadata, annotations: { "kubernetes.io/ingress.class": value } } };
  };
  assert.equal(isOurIngress(ingress("i", spec), classes), true);
  assert.equal(isOurIngress(ingress("i", { ...spec, ingressClassName: "wherry" }), classes), true);
  assert.equal(isOurIngress(ingress("i", { ...spec, ingressClassName: "nginx" }), classes), false);
  assert.equal(isOurIngress(ingress("i", { ...spec, ingressClassName: "missing" }), classes), false);
  assert.equal(isOurIngress(annotated("wherry"), classes), true);
  assert.equal(isOurIngress(annotated("nginx"), classes), false);
  assert.equal(isOurIngress(ingress("i", spec), new Map([["nginx", other]])), false);
});

test("IngressRoutes follows the Service's ports, the Ingress and the class", () => {
  const known = new Map<string, Service>();
  const routes = new IngressRoutes(known);
  const changed = (...args: Parameters<IngressRoutes["onEvent"]>): string[] =>
    routes.onEvent(...args).flatMap(({ type, route }) => lines([route]).map((line) => `${type} ${line}`));
  const made = ingress("i", { defaultBackend: to("web", { name: "web" }) });
  assert.deepEqual(changed(ingresses, false, made), [], "no class is ours yet");
  assert.deepEqual(changed(ingressClasses, false, ourClass), ["MODIFIED * PathPrefix / -> web:none"]);
  const [, web] = service("web", "10.96.0.9", [{ name: "web", port: 8080 }]);
  known.set("default/web", web);
  assert.deepEqual(changed(services, false, web), ["MODIFIED * PathPrefix / -> web:8080"]);
  assert.deepEqual(changed(services, false, service("else", "10.96.0.8", [{ port: 1 }])[1]), []);
  assert.deepEqual(changed(ingresses, true, made), ["DELETED * PathPrefix / -> web:8080"]);
});

test("a Snapshot serves an Ingress by its Gateway; rules go before default backends", () => {
  const rule = { http: { paths: [{ path: "/", pathType: "Prefix" as const, backend: to("b") }] } };
  const old = ingress("old", { defaultBackend: to("a") });
  const young = ingress("young", { rules: [rule] });
  const made = gateway("ingress", [
    { name: "http", port: 80, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } },
  ])[1];
  const ours = { ...made, metadata: { ...made.metadata, ...ingressGateway } };
  const snapshot = fill(new Snapshot(), [
    namespace("default"),
    gatewayClass,
    service("a", "10.96.0.1", [{ port: 80 }]),
    slice("a", 80, []),
    service("b", "10.96.0.2", [{ port: 80 }]),
    slice("b", 80, []),
    [ingressClasses, ourClass],
    [ingresses, old],
    [ingresses, { ...young, metadata: { ...young.metadata, creationTimestamp: "2026-01-02T00:00:00Z" } }],
  ]);
  const hosts = gatewayResourcesOf(ours, snapshot.objects).routes[0]?.virtual_hosts ?? [];
  const targets = hosts.flatMap(({ routes }) => routes.map(({ route }) => route?.cluster));
  assert.deepEqual(targets, ["outbound|80||b.default.svc.cluster.local", "outbound|80||a.default.svc.cluster.local"]);
});
