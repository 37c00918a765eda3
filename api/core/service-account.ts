/** ServiceAccount: the identity of pods. */
import type { KubeObject } from "../meta.ts";
import type { Kind } from "../schema/kind.ts";
import { bool, free, list, object, string } from "../schema/schema.ts";

export interface ServiceAccount extends KubeObject {
  readonly automountServiceAccountToken?: boolean;
}

export const serviceAccounts: Kind<ServiceAccount> = {
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    automountServiceAccountToken: bool(),
    // Long replaced by bound tokens in Kubernetes itself; kept for manifests that still name them.
    secrets: list(free(), { patchMergeKey: "name" }),
    imagePullSecrets: list(object({ name: string() }), { patchMergeKey: "name" }),
  }),
};
