/** A client of a running cluster's API, from its kubeconfig. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HttpKubeClient } from "#api/client/http.ts";
import { parse } from "yaml";
import { CliError } from "./errors.ts";
import { requireRunning } from "./launcher/state-dir.ts";

interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly "certificate-authority-data": string };
  }[];
  readonly users: readonly {
    readonly user: { readonly "client-certificate-data": string; readonly "client-key-data": string };
  }[];
}

/** `headersTimeoutMs`: time for an answer, in ms; default that of the client. */
export function connect(
  cluster: string,
  env: NodeJS.ProcessEnv = process.env,
  headersTimeoutMs?: number,
): HttpKubeClient {
  const { dir } = requireRunning(env, cluster);
  const config = parse(readFileSync(join(dir, "kubeconfig"), "utf8")) as Kubeconfig;
  const [entry] = config.clusters;
  const [user] = config.users;
  if (entry === undefined || user === undefined) {
    throw new CliError(
      "Failed",
      `Cannot read ${dir}/kubeconfig: wanted a cluster and a user (run: wherry down; wherry up)`,
    );
  }
  const decode = (text: string): string => Buffer.from(text, "base64").toString();
  return new HttpKubeClient({
    server: entry.cluster.server,
    ca: decode(entry.cluster["certificate-authority-data"]),
    cert: decode(user.user["client-certificate-data"]),
    key: decode(user.user["client-key-data"]),
    ...(headersTimeoutMs === undefined ? {} : { headersTimeoutMs }),
  });
}
