/** Secret: sensitive keys and values. `stringData` is write-only: it is folded into `data` when stored. */
import type { KubeObject } from "../meta.ts";
import { requiredError } from "../schema/field-error.ts";
import type { Kind } from "../schema/kind.ts";
import { bool, map, object, string } from "../schema/schema.ts";
import { immutableErrors } from "./configmap.ts";

export interface Secret extends KubeObject {
  readonly type?: string;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}

export const secrets: Kind<Secret> = {
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  singular: "secret",
  shortNames: [],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    type: string({ default: "Opaque" }),
    data: map(string({ format: "base64" }), { keyFormat: "configKey" }),
    stringData: map(string(), { keyFormat: "configKey" }),
    immutable: bool(),
  }),
  immutable: [["type"]],
  fieldSelectors: { type: (secret) => secret.type ?? "" },
  default: foldStringData,
  validate: (secret) =>
    (requiredKeys[secret.type ?? ""] ?? [])
      .filter((key) => secret.data?.[key] === undefined)
      .map((key) => requiredError(`data[${key}]`)),
  validateUpdate: (next, previous) => immutableErrors(next, previous, ["data"]),
};

/** Keys that a Secret of a type must have. */
const requiredKeys: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
};

function foldStringData({ stringData, ...secret }: Secret): Secret {
  if (stringData === undefined) return secret;
  const folded = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString("base64")] as const);
  return { ...secret, data: Object.fromEntries([...Object.entries(secret.data ?? {}), ...folded]) };
}
