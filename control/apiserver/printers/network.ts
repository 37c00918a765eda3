/** The columns of Services and what is around them: Endpoints, EndpointSlice, Ingress, NetworkPolicy, Gateway, GatewayClass, HTTPRoute. Pure. */
import type { Endpoints } from "#api/core/endpoints.ts";
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import type { Gateway, GatewayClass } from "#api/gateway/gateway.ts";
import type { HTTPRoute } from "#api/gateway/httproute.ts";
import type { Condition, KubeObject } from "#api/meta.ts";
import type { Ingress } from "#api/networking/ingress.ts";
import type { IngressClass } from "#api/networking/ingress-class.ts";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import { ageOf, column, formatSelector, orNone, type Printer, wide } from "./printer.ts";

/** Addresses shown of a Service's endpoints. */
const endpointsShown = 3;

interface LoadBalancer {
  readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[];
}

export const servicePrinter: Printer = {
  columns: [
    column("Name"),
    column("Type"),
    column("Cluster-IP"),
    column("External-IP"),
    column("Port(s)"),
    column("Age"),
    wide("Selector"),
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const service = object as Service;
    const { metadata, spec } = service;
    const ports = (spec.ports ?? []).map(({ port, nodePort = 0, protocol = "TCP" }) =>
      nodePort === 0 ? `${port}/${protocol}` : `${port}:${nodePort}/${protocol}`,
    );
    return [
      metadata.name,
      spec.type ?? "ClusterIP",
      orNone(spec.clusterIP),
      externalAddress(service),
      orNone(ports.join(",")),
      ageOf(object, nowMs),
      formatSelector({ matchLabels: spec.selector ?? {} }),
    ];
  },
};

function externalAddress({ spec, status }: Service): string {
  if (spec.type === "ExternalName") return orNone(spec.externalName);
  if (spec.type !== "LoadBalancer") return "<none>";
  const addresses = loadBalancerAddresses(status?.loadBalancer);
  return addresses === "" ? "<pending>" : addresses;
}

function loadBalancerAddresses(balancer: LoadBalancer | undefined): string {
  return (balancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? []).join(",");
}

export const endpointsPrinter: Printer = {
  columns: [column("Name"), column("Endpoints"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const addresses = ((object as Endpoints).subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
      ports.length === 0
        ? addresses.map(({ ip }) => ip)
        : ports.flatMap(({ port }) => addresses.map(({ ip }) => `${ip}:${port}`)),
    );
    return [object.metadata.name, orNone(shorten(addresses, " + ")), ageOf(object, nowMs)];
  },
};

export const endpointSlicePrinter: Printer = {
  columns: [column("Name"), column("AddressType"), column("Ports"), column("Endpoints"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { addressType, ports = [], endpoints } = object as EndpointSlice;
    const numbers = ports.map(({ port, name = "" }) => (port === undefined ? name || "*" : String(port)));
    const addresses = endpoints.flatMap((endpoint) => endpoint.addresses);
    return [
      object.metadata.name,
      addressType,
      shorten(numbers, " + ") || "<unset>",
      shorten(addresses, " + ") || "<unset>",
      ageOf(object, nowMs),
    ];
  },
};

function shorten(texts: readonly string[], plus: string): string {
  const more = texts.length - endpointsShown;
  return texts.slice(0, endpointsShown).join(",") + (more > 0 ? `${plus}${more} more...` : "");
}

export const ingressPrinter: Printer = {
  columns: [column("Name"), column("Class"), column("Hosts"), column("Address"), column("Ports"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status } = object as Ingress;
    const hosts = (spec.rules ?? []).map(({ host }) => host ?? "").filter((host) => host !== "");
    return [
      metadata.name,
      orNone(spec.ingressClassName),
      hosts.length === 0 ? "*" : shorten(hosts, " + "),
      loadBalancerAddresses(status?.loadBalancer),
      (spec.tls ?? []).length === 0 ? "80" : "80, 443",
      ageOf(object, nowMs),
    ];
  },
};

export const ingressClassPrinter: Printer = {
  columns: [column("Name"), column("Controller"), column("Parameters"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec } = object as IngressClass;
    const { apiGroup = "", kind, name } = (spec?.parameters ?? {}) as Readonly<Record<string, string | undefined>>;
    const parameters = kind === undefined ? "<none>" : `${kind}${apiGroup === "" ? "" : `.${apiGroup}`}/${name ?? ""}`;
    return [metadata.name, spec?.controller ?? "", parameters, ageOf(object, nowMs)];
  },
};

export const networkPolicyPrinter: Printer = {
  columns: [column("Name"), column("Pod-Selector"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec } = object as NetworkPolicy;
    return [metadata.name, formatSelector(spec?.podSelector), ageOf(object, nowMs)];
  },
};

const statusOf = (conditions: readonly Condition[] | undefined, type: string): string =>
  conditions?.find((condition) => condition.type === type)?.status ?? "";

export const gatewayPrinter: Printer = {
  columns: [column("Name"), column("Class"), column("Address"), column("Programmed"), column("Age", "date")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status } = object as Gateway;
    const addresses = (status?.addresses ?? []).map(({ value }) => value).join(" ");
    return [
      metadata.name,
      spec.gatewayClassName,
      addresses,
      statusOf(status?.conditions, "Programmed"),
      ageOf(object, nowMs),
    ];
  },
};

export const gatewayClassPrinter: Printer = {
  columns: [column("Name"), column("Controller"), column("Accepted"), column("Age", "date"), wide("Description")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status } = object as GatewayClass;
    return [
      metadata.name,
      spec.controllerName,
      statusOf(status?.conditions, "Accepted"),
      ageOf(object, nowMs),
      spec.description ?? "",
    ];
  },
};

export const httpRoutePrinter: Printer = {
  columns: [column("Name"), column("Hostnames"), column("Age", "date")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec } = object as HTTPRoute;
    return [metadata.name, spec.hostnames === undefined ? "" : JSON.stringify(spec.hostnames), ageOf(object, nowMs)];
  },
};
