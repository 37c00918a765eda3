/**
 * What every cluster has from the start: namespaces, the Service `kubernetes`, the GatewayClass.
 *
 *   cli/control.ts ─▶ bootstrap(client, address) ─▶ creates what is missing, corrects the API server's address
 *
 * Safe to run at each start: what is there stays.
 */
import type { KubeClient } from "#api/client/client.ts";
import { nodeLeaseNamespace } from "#api/coordination/lease.ts";
import { namespaces } from "#api/core/namespace.ts";
import { type Service, services } from "#api/core/service.ts";
import { type EndpointSlice, endpointSlices, serviceNameLabel } from "#api/discovery/endpointslice.ts";
import { type GatewayClass, gatewayClasses, gatewayController } from "#api/gateway/gateway.ts";
import type { KindRef } from "#api/kind.ts";
import { type KubeObject, keyOf } from "#api/meta.ts";
import { type IngressClass, ingressClasses, ingressController } from "#api/networking/ingress-class.ts";
import { isEqual } from "#api/schema/read.ts";
import { isAlreadyExists } from "#api/status.ts";

export interface BootstrapConfig {
  /** Where pods reach the API server, behind the Service `kubernetes`. */
  readonly apiAddress: { readonly address: string; readonly port: number };
  /** Cluster IP of the Service `kubernetes`. Default 10.96.0.1. */
  readonly kubernetesIP?: string;
}

const namespaceNames = ["default", "kube-system", "kube-public", nodeLeaseNamespace];

export async function bootstrap(client: KubeClient, config: BootstrapConfig): Promise<void> {
  for (const name of namespaceNames)
    await ensure(client, namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  await ensure(client, services, kubernetesService(config.kubernetesIP ?? "10.96.0.1"));
  await ensureEndpoints(client, kubernetesEndpoints(config));
  await ensure(client, gatewayClasses, gatewayClass);
  await ensure(client, ingressClasses, ingressClass);
}

async function ensure<T extends KubeObject>(client: KubeClient, kind: KindRef<T>, object: T): Promise<void> {
  try {
    await client.create(kind, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** The address may differ from that of the last start. */
async function ensureEndpoints(client: KubeClient, wanted: EndpointSlice): Promise<void> {
  await ensure(client, endpointSlices, wanted);
  const found = await client.get(endpointSlices, keyOf(wanted));
  const { endpoints, ports } = wanted;
  if (!isEqual(found.endpoints, endpoints) || !isEqual(found.ports, ports))
    await client.update(endpointSlices, { ...found, endpoints, ...(ports === undefined ? {} : { ports }) });
}

function kubernetesService(clusterIP: string): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "kubernetes", namespace: "default", labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      type: "ClusterIP",
      clusterIP,
      ports: [{ name: "https", protocol: "TCP", port: 443, targetPort: 6443 }],
      sessionAffinity: "None",
    },
  };
}

function kubernetesEndpoints({ apiAddress }: BootstrapConfig): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "kubernetes", namespace: "default", labels: { [serviceNameLabel]: "kubernetes" } },
    addressType: "IPv4",
    endpoints: [{ addresses: [apiAddress.address], conditions: { ready: true } }],
    ports: [{ name: "https", protocol: "TCP", port: apiAddress.port }],
  };
}

const gatewayClass: GatewayClass = {
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "GatewayClass",
  metadata: { name: "wherry" },
  spec: { controllerName: gatewayController, description: "Gateways served by Wherry's own proxy" },
};

/** Ours is the default: an Ingress that names no class is served. */
const ingressClass: IngressClass = {
  apiVersion: "networking.k8s.io/v1",
  kind: "IngressClass",
  metadata: { name: "wherry", annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
  spec: { controller: ingressController },
};
