/** IngressClass: which controller serves an Ingress. networking.k8s.io/v1. */
import type { KubeObject } from "../meta.ts";
import type { Kind } from "../schema/kind.ts";
import { free, object, string } from "../schema/schema.ts";

/** The controller name that our IngressClass carries. */
export const ingressController = "wherry.dev/ingress-controller";

export interface IngressClass extends KubeObject {
  readonly spec?: { readonly controller?: string; readonly parameters?: unknown };
}

export const ingressClasses: Kind<IngressClass> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "IngressClass",
  plural: "ingressclasses",
  singular: "ingressclass",
  shortNames: [],
  namespaced: false,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object({ controller: string({ format: "qualifiedName", lengthMax: 250 }), parameters: free() }),
  }),
  immutable: [["spec", "controller"]],
};
