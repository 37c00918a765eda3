/**
 * How to reach an API server: from a kubeconfig, from options, or from a pod's service account. Pure but for the
 * reading.
 *
 *   kubeconfig YAML ─▶ Access { server, ca, cert, key, token }
 */
import { messageOf } from "#lib/errors.ts";
import { parseYAMLObject } from "#lib/yaml.ts";
import { DNSError } from "../errors.ts";

/** PEM texts and a bearer token. */
export interface Access {
  readonly server: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
}

interface Named<T> {
  readonly name?: string;
  readonly cluster?: T;
  readonly user?: T;
  readonly context?: T;
}

type Fields = Readonly<Record<string, string | undefined>>;

interface KubeconfigFile {
  readonly "current-context"?: string;
  readonly clusters?: readonly Named<Fields>[];
  readonly users?: readonly Named<Fields>[];
  readonly contexts?: readonly Named<Fields>[];
}

/** The access that a context of a kubeconfig gives. Throws DNSError Corefile. */
export function readKubeconfig(path: string, context: string | undefined, readFile: (path: string) => string): Access {
  const fail = (problem: string): never => {
    throw new DNSError("Corefile", `Cannot use kubeconfig ${path}: ${problem}`);
  };
  const attempt = <T>(read: () => T, before = ""): T => {
    try {
      return read();
    } catch (error) {
      return fail(`${before}${messageOf(error)}`);
    }
  };
  const file: KubeconfigFile = attempt(() => parseYAMLObject(readFile(path)));
  const name = context ?? file["current-context"];
  const chosen = file.contexts?.find((each) => each.name === name)?.context;
  const cluster = file.clusters?.find((each) => each.name === chosen?.["cluster"])?.cluster;
  const user = file.users?.find((each) => each.name === chosen?.["user"])?.user ?? {};
  const server = cluster?.["server"];
  if (cluster === undefined || server === undefined) return fail(`no cluster for context "${name ?? ""}"`);
  const pem = (fields: Fields, field: string): string | undefined => {
    const data = fields[`${field}-data`];
    if (data !== undefined) return Buffer.from(data, "base64").toString("utf8");
    const file = fields[field];
    return file === undefined ? undefined : attempt(() => readFile(file), `${field}: `);
  };
  const [ca, cert, key] = [
    pem(cluster, "certificate-authority"),
    pem(user, "client-certificate"),
    pem(user, "client-key"),
  ];
  const { tokenFile } = user;
  const readToken = (at: string): string => attempt(() => readFile(at).trim(), "tokenFile: ");
  const token = user["token"] ?? (tokenFile === undefined ? undefined : readToken(tokenFile));
  return {
    server,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(token === undefined ? {} : { token }),
  };
}

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The access of a pod. Throws DNSError Corefile outside of one, where `wanted` is to be given. */
export function inCluster(
  readFile: (path: string) => string,
  variable: (name: string) => string | undefined,
  wanted: string,
): Access {
  const [host, port] = [variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")];
  if (host === undefined || port === undefined)
    throw new DNSError(
      "Corefile",
      `Cannot find the API server: no KUBERNETES_SERVICE_HOST, wanted ${wanted} outside of a cluster`,
    );
  const at = host.includes(":") ? `[${host}]` : host;
  return {
    server: `https://${at}:${port}`,
    ca: readFile(`${serviceAccount}/ca.crt`),
    token: readFile(`${serviceAccount}/token`).trim(),
  };
}
