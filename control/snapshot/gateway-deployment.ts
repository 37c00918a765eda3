/**
 * What serves a Gateway: a Deployment of pods whose sidecar is the gateway, and a Service in front. Pure.
 *
 *   Gateway of our class ─▶ gatewayWorkloadOf() ─▶ a controller applies both ─▶ kubelet runs the pods
 *
 * Both are named `<gateway>-wherry`, carry the label gateway.networking.k8s.io/gateway-name and are owned by the Gateway, so
 * that they go when it goes. Follows Istio's and Gateway API's (GEP-1762) automated deployment.
 */
import type { Deployment } from "#api/apps/deployment.ts";
import type { Service } from "#api/core/service.ts";
import { gatewayNameLabel, type Gateway } from "#api/gateway/gateway.ts";
import type { ObjectMeta } from "#api/meta.ts";
import { l7Annotation } from "#api/wire/service.ts";
import { problemOfListener } from "./gateway.ts";

/** Runs nothing: the gateway's work is done by the pod's sidecar. */
const pauseImage = "wherry.dev/pause";

export interface GatewayWorkload {
  readonly deployment: Deployment;
  readonly service: Service;
}

/** The Deployment and Service of a Gateway of our class; undefined when none of its listeners can be served. */
export function gatewayWorkloadOf(gateway: Gateway): GatewayWorkload | undefined {
  const listeners = gateway.spec.listeners.filter((listener) => problemOfListener(listener, gateway) === undefined);
  const ports = [...new Set(listeners.map(({ port }) => port))].sort((a, b) => a - b);
  if (ports.length === 0) return undefined;
  const metadata = metadataOf(gateway);
  return { deployment: deploymentOf(gateway, metadata, ports), service: serviceOf(gateway, metadata, ports) };
}

/** `default/gw` is served by the Service and Deployment `gw-wherry` in `default`. */
export function gatewayWorkloadName(gatewayName: string): string {
  return `${gatewayName}-wherry`;
}

function metadataOf(gateway: Gateway): ObjectMeta {
  const { name, namespace = "", uid = "" } = gateway.metadata;
  return {
    name: gatewayWorkloadName(name),
    namespace,
    labels: { [gatewayNameLabel]: name },
    ownerReferences: [
      { apiVersion: gateway.apiVersion, kind: gateway.kind, name, uid, controller: true, blockOwnerDeletion: true },
    ],
  };
}

function deploymentOf(gateway: Gateway, metadata: ObjectMeta, ports: readonly number[]): Deployment {
  const labels = { [gatewayNameLabel]: gateway.metadata.name };
  const container = {
    name: "gateway",
    image: pauseImage,
    ports: ports.map((port) => ({ name: portName(port), containerPort: port, protocol: "TCP" as const })),
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata,
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  };
}

function serviceOf(gateway: Gateway, metadata: ObjectMeta, ports: readonly number[]): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    // The gateway balances requests itself, and tells callers by their addresses.
    metadata: { ...metadata, annotations: { [l7Annotation]: "false" } },
    spec: {
      type: "LoadBalancer",
      selector: { [gatewayNameLabel]: gateway.metadata.name },
      ports: ports.map((port) => ({
        name: portName(port),
        port,
        targetPort: port,
        protocol: "TCP",
        appProtocol: "http",
      })),
    },
  };
}

function portName(port: number): string {
  return `http-${port}`;
}
