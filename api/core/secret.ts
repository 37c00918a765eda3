/** Secret: sensitive keys and values. `stringData` is write-only: it is folded into `data` when stored. */
import type { KindRef } from "../kind.ts";
import type { KubeObject } from "../meta.ts";

export interface Secret extends KubeObject {
  readonly type?: string;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}

export const secrets: KindRef<Secret> = {
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  singular: "secret",
  shortNames: [],
  namespaced: true,
};
