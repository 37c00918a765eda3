/** Node: a machine that runs pods. Registered and kept ready by its kubelet. */
import type { Condition, KubeObject } from "../meta.ts";
import { conditionsSchema, type Kind, resourceListSchema } from "../schema/kind.ts";
import { bool, free, int, list, map, object, oneOf, string, time } from "../schema/schema.ts";

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: "NoSchedule" | "PreferNoSchedule" | "NoExecute";
  readonly timeAdded?: string;
}

export interface Node extends KubeObject {
  readonly spec?: {
    readonly podCIDR?: string;
    readonly podCIDRs?: readonly string[];
    readonly unschedulable?: boolean;
    readonly taints?: readonly Taint[];
  };
  readonly status?: {
    readonly capacity?: Readonly<Record<string, string>>;
    readonly allocatable?: Readonly<Record<string, string>>;
    readonly conditions?: readonly Condition[];
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly daemonEndpoints?: { readonly kubeletEndpoint?: { readonly Port: number } };
    readonly nodeInfo?: Readonly<Record<string, string>>;
  };
}

/** Where a node stands, for `trafficDistribution`. */
export const zoneLabel = "topology.kubernetes.io/zone";

export const nodes: Kind<Node> = {
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  namespaced: false,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        podCIDR: string(),
        podCIDRs: list(string(), { patchStrategy: "merge" }),
        providerID: string(),
        unschedulable: bool(),
        taints: list(
          object({
            key: string({ required: true, format: "qualifiedName" }),
            value: string({ format: "labelValue" }),
            effect: oneOf(["NoSchedule", "PreferNoSchedule", "NoExecute"], { required: true }),
            timeAdded: time(),
          }),
          { keys: ["key", "effect"] },
        ),
        configSource: free(),
        externalID: string(),
      },
      { default: {} },
    ),
    status: object({
      capacity: resourceListSchema,
      allocatable: resourceListSchema,
      phase: string(),
      conditions: conditionsSchema,
      addresses: list(object({ type: string({ required: true }), address: string({ required: true }) }), {
        patchMergeKey: "type",
      }),
      daemonEndpoints: object({ kubeletEndpoint: object({ Port: int({ required: true, min: 0, max: 65_535 }) }) }),
      nodeInfo: map(free()),
      images: free(),
      volumesInUse: free(),
      volumesAttached: free(),
      config: free(),
      runtimeHandlers: free(),
      features: free(),
      declaredFeatures: free(),
    }),
  }),
  fieldSelectors: { "spec.unschedulable": (node) => String(node.spec?.unschedulable ?? false) },
};
