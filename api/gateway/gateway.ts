/** GatewayClass and Gateway of Gateway API v1: where traffic enters the mesh. */
import type { Condition, KubeObject, LabelSelector } from "../meta.ts";
import { duplicateValue, type FieldError, forbidden } from "../schema/field-error.ts";
import { conditionsSchema, type Kind, labelSelector } from "../schema/kind.ts";
import { free, int, list, object, oneOf, port, string, unsupported } from "../schema/schema.ts";

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

const kindsSchema = list(
  object({ group: string({ default: "gateway.networking.k8s.io" }), kind: string({ required: true }) }),
);

const listenerSchema = object({
  name: string({ required: true, format: "dnsSubdomain" }),
  hostname: string({ format: "hostname" }),
  port: port({ required: true }),
  // A protocol that is not supported is the controller's to report, in the listener's status.
  protocol: string({ required: true }),
  tls: free(),
  allowedRoutes: object(
    {
      namespaces: object(
        { from: oneOf(["All", "Same", "Selector", "None"], { default: "Same" }), selector: labelSelector() },
        { default: {} },
      ),
      kinds: kindsSchema,
    },
    { default: {} },
  ),
});

export const gatewayClasses: Kind<GatewayClass> = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  kind: "GatewayClass",
  plural: "gatewayclasses",
  singular: "gatewayclass",
  shortNames: ["gc"],
  namespaced: false,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        controllerName: string({ required: true, format: "qualifiedName" }),
        description: string({ lengthMax: 64 }),
        parametersRef: free(),
      },
      { required: true },
    ),
    status: object({ conditions: conditionsSchema, supportedFeatures: free() }),
  }),
  immutable: [["spec", "controllerName"]],
};

export const gateways: Kind<Gateway> = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  kind: "Gateway",
  plural: "gateways",
  singular: "gateway",
  shortNames: ["gtw"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        gatewayClassName: string({ required: true, format: "dnsSubdomain" }),
        listeners: list(listenerSchema, { required: true, keys: ["name"], itemsMax: 64 }),
        addresses: unsupported(),
        infrastructure: unsupported(),
        backendTLS: unsupported(),
        tls: unsupported(),
        allowedListeners: unsupported(),
        defaultScope: string({ unsupported: true }),
      },
      { required: true },
    ),
    status: object({
      addresses: list(object({ type: string({ default: "IPAddress" }), value: string() })),
      conditions: conditionsSchema,
      listeners: list(
        object({
          name: string({ required: true }),
          attachedRoutes: int({ min: 0, required: true }),
          supportedKinds: kindsSchema,
          conditions: conditionsSchema,
        }),
        { keys: ["name"] },
      ),
      attachedListenerSets: int(),
    }),
  }),
  validate: listenerErrors,
};

function listenerErrors({ spec }: Gateway): FieldError[] {
  const seen = new Set<string>();
  return spec.listeners.flatMap((listener, index) => {
    const path = `spec.listeners[${index}]`;
    const errors: FieldError[] = [];
    const identity = `${listener.port}/${listener.protocol}/${listener.hostname ?? ""}`;
    if (seen.has(identity)) errors.push(duplicateValue(path, identity));
    seen.add(identity);
    if (listener.tls !== undefined && ["HTTP", "TCP", "UDP"].includes(listener.protocol))
      errors.push(forbidden(`${path}.tls`, `must not be specified for protocol ${listener.protocol}`));
    if (listener.hostname !== undefined && ["TCP", "UDP"].includes(listener.protocol))
      errors.push(forbidden(`${path}.hostname`, `must not be specified for protocol ${listener.protocol}`));
    return errors;
  });
}

/** The label that names the Gateway of the Deployment, pods and Service that serve it. */
export const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name";
