/** Service: a name and a virtual address for a set of pods. */
import type { IntOrString, KubeObject } from "../meta.ts";
import { conditionsSchema, type Kind } from "../schema/kind.ts";
import { bool, free, int, intOrString, list, map, object, oneOf, port, string } from "../schema/schema.ts";
import { defaultService, serviceErrors } from "./service-rules.ts";
import { serviceWarnings } from "./service-warnings.ts";

export interface ServicePort {
  readonly name?: string;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  readonly appProtocol?: string;
  readonly port: number;
  readonly targetPort?: IntOrString;
  readonly nodePort?: number;
}

export interface LoadBalancerIngress {
  readonly ip?: string;
  readonly hostname?: string;
  /** `VIP` (default): nodes answer the address themselves. `Proxy`: what is in front does. */
  readonly ipMode?: string;
}

/** Whose endpoints a caller gets while there are such: `PreferClose` is the older name of `PreferSameZone`. */
export type TrafficDistribution = "PreferClose" | "PreferSameNode" | "PreferSameZone";

export interface Service extends KubeObject {
  readonly spec: {
    readonly type?: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
    readonly selector?: Readonly<Record<string, string>>;
    readonly ports?: readonly ServicePort[];
    /** "None" makes the Service headless. Immutable once allocated. */
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly ipFamilies?: readonly ("IPv4" | "IPv6")[];
    readonly ipFamilyPolicy?: string;
    readonly externalName?: string;
    readonly publishNotReadyAddresses?: boolean;
    readonly sessionAffinity?: "None" | "ClientIP";
    readonly internalTrafficPolicy?: "Cluster" | "Local";
    readonly externalTrafficPolicy?: "Cluster" | "Local";
    readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } };
    readonly externalIPs?: readonly string[];
    readonly loadBalancerSourceRanges?: readonly string[];
    readonly loadBalancerClass?: string;
    readonly healthCheckNodePort?: number;
    readonly trafficDistribution?: TrafficDistribution;
  };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly LoadBalancerIngress[] } };
}

const loadBalancerSchema = object(
  { ingress: list(object({ ip: string(), hostname: string(), ipMode: string(), ports: free() })) },
  { default: {} },
);

export const services: Kind<Service> = {
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  singular: "service",
  shortNames: ["svc"],
  namespaced: true,
  categories: ["all"],
  nameFormat: "dns1035Label",
  schema: object({
    spec: object(
      {
        // On nodes by the node proxy; node ports and load balancers on the host, too (controllers/host-ports.ts).
        type: oneOf(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], { default: "ClusterIP" }),
        selector: map(string({ format: "labelValue" }), { keyFormat: "qualifiedName", flat: true }),
        ports: list(
          object({
            name: string({ format: "dnsLabel" }),
            protocol: oneOf(["TCP", "UDP", "SCTP"], { default: "TCP" }),
            appProtocol: string({ format: "qualifiedName" }),
            port: port({ required: true }),
            targetPort: intOrString(),
            nodePort: int({ min: 0, max: 65_535 }),
          }),
          { keys: ["port", "protocol"], patchMergeKey: "port" },
        ),
        clusterIP: string(),
        clusterIPs: list(string()),
        ipFamilies: list(oneOf(["IPv4", "IPv6"]), { keys: [] }),
        ipFamilyPolicy: oneOf(["SingleStack", "PreferDualStack", "RequireDualStack"]),
        externalName: string(),
        externalIPs: list(string({ format: "ipv4" })),
        publishNotReadyAddresses: bool(),
        sessionAffinity: oneOf(["None", "ClientIP"], { default: "None" }),
        sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: int({ min: 1, max: 86_400 }) }) }),
        internalTrafficPolicy: oneOf(["Cluster", "Local"]),
        externalTrafficPolicy: oneOf(["Cluster", "Local"]),
        trafficDistribution: oneOf(["PreferClose", "PreferSameNode", "PreferSameZone"]),
        allocateLoadBalancerNodePorts: bool({ unsupported: true }),
        healthCheckNodePort: int({ min: 0, max: 65_535 }),
        loadBalancerClass: string({ unsupported: true }),
        loadBalancerIP: string({ unsupported: true }),
        loadBalancerSourceRanges: list(string()),
      },
      { required: true },
    ),
    status: object({ loadBalancer: loadBalancerSchema, conditions: conditionsSchema }, { default: {} }),
  }),
  fieldSelectors: {
    "spec.clusterIP": ({ spec }) => spec.clusterIP ?? "",
    "spec.type": ({ spec }) => spec.type ?? "",
  },
  default: defaultService,
  validate: serviceErrors,
  warnings: serviceWarnings,
};

/** Whether the Service has no virtual address: its name stands for its endpoints. */
export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === "None";
}
