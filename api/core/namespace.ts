/** Namespace: the scope of names. Label `istio-injection=enabled` gives its pods sidecars. */
import type { KindRef } from "../kind.ts";
import type { KubeObject } from "../meta.ts";

export interface Namespace extends KubeObject {
  readonly spec?: { readonly finalizers?: readonly string[] };
  readonly status?: { readonly phase?: "Active" | "Terminating" };
}

export const namespaces: KindRef<Namespace> = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  namespaced: false,
};
