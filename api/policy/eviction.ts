/** Eviction: asks for a pod to go, if its PodDisruptionBudget allows. Created at `pods/NAME/eviction` and not kept. */
import type { DeleteOptions } from "../client/client.ts";
import type { KubeObject } from "../meta.ts";

export interface Eviction extends KubeObject {
  readonly deleteOptions?: DeleteOptions & { readonly dryRun?: readonly string[] };
}
