/** ServiceAccount: the identity of pods. */
import type { KindRef } from "../kind.ts";
import type { KubeObject } from "../meta.ts";

export interface ServiceAccount extends KubeObject {
  readonly automountServiceAccountToken?: boolean;
}

export const serviceAccounts: KindRef<ServiceAccount> = {
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  namespaced: true,
};
