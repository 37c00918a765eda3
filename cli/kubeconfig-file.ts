/** A kubeconfig with one cluster and one user, as text. Pure. */
import { stringify } from "yaml";

export interface KubeconfigParts {
  readonly cluster: string;
  readonly server: string;
  /** PEM texts. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export function formatKubeconfig({ cluster, server, ca, cert, key }: KubeconfigParts): string {
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  const name = `wherry-${cluster}`;
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server, "certificate-authority-data": encode(ca) } }],
    users: [{ name, user: { "client-certificate-data": encode(cert), "client-key-data": encode(key) } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
}
