/** GatewayClass and Gateway of Gateway API v1: where traffic enters the mesh. */
import type { KindRef } from "../kind.ts";
import type { Condition, KubeObject, LabelSelector } from "../meta.ts";

/** The controller name that our GatewayClass carries; Gateways of other classes are left alone. */
export const gatewayController = "wherry.dev/gateway-controller";

export interface GatewayClass extends KubeObject {
  readonly spec: {
    readonly controllerName: string;
    readonly description?: string;
    readonly parametersRef?: Readonly<Record<string, unknown>>;
  };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

export interface GatewayListener {
  readonly name: string;
  readonly hostname?: string;
  readonly port: number;
  readonly protocol: string;
  readonly tls?: Readonly<Record<string, unknown>>;
  readonly allowedRoutes?: {
    readonly namespaces?: { readonly from?: "All" | "Same" | "Selector" | "None"; readonly selector?: LabelSelector };
    readonly kinds?: readonly { readonly group?: string; readonly kind: string }[];
  };
}

export interface Gateway extends KubeObject {
  readonly spec: { readonly gatewayClassName: string; readonly listeners: readonly GatewayListener[] };
  readonly status?: {
    readonly addresses?: readonly { readonly type?: string; readonly value: string }[];
    readonly conditions?: readonly Condition[];
    readonly listeners?: readonly {
      readonly name: string;
      readonly attachedRoutes: number;
      readonly supportedKinds: readonly { readonly group?: string; readonly kind: string }[];
      readonly conditions: readonly Condition[];
    }[];
  };
}

export const gatewayClasses: KindRef<GatewayClass> = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  kind: "GatewayClass",
  plural: "gatewayclasses",
  singular: "gatewayclass",
  shortNames: ["gc"],
  namespaced: false,
};

export const gateways: KindRef<Gateway> = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  kind: "Gateway",
  plural: "gateways",
  singular: "gateway",
  shortNames: ["gtw"],
  namespaced: true,
};

/** The label that names the Gateway of the Deployment, pods and Service that serve it. */
export const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name";
