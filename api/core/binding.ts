/**
 * Binding: puts a pod on a node. Created at `pods/<name>/binding`, or, by any client that can create objects, at
 * `bindings` with the pod's name as its own. It is never stored.
 */
import type { KindRef } from "../kind.ts";
import type { KubeObject } from "../meta.ts";

export interface Binding extends KubeObject {
  readonly target: { readonly kind?: string; readonly apiVersion?: string; readonly name: string };
}

export const bindings: KindRef<Binding> = {
  group: "",
  version: "v1",
  kind: "Binding",
  plural: "bindings",
  singular: "binding",
  shortNames: [],
  namespaced: true,
};
