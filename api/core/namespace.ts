/** Namespace: the scope of names. Label `istio-injection=enabled` gives its pods sidecars. */
import type { KubeObject } from "../meta.ts";
import { conditionsSchema, type Kind } from "../schema/kind.ts";
import { list, object, oneOf, string } from "../schema/schema.ts";

export interface Namespace extends KubeObject {
  readonly spec?: { readonly finalizers?: readonly string[] };
  readonly status?: { readonly phase?: "Active" | "Terminating" };
}

/** The finalizer that keeps a Namespace until its content is gone; the API server puts it into each. */
export const namespaceFinalizer = "kubernetes";

export const namespaces: Kind<Namespace> = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  namespaced: false,
  nameFormat: "dnsLabel",
  schema: object({
    spec: object({ finalizers: list(string()) }, { default: {} }),
    status: object({ phase: oneOf(["Active", "Terminating"]), conditions: conditionsSchema }),
  }),
  fieldSelectors: { "status.phase": (namespace) => namespace.status?.phase ?? "" },
};
