/**
 * The kubeconfig that the control plane wrote for a cluster, as this program reads it.
 *
 *   <state>/kubeconfig ─▶ readClusterKubeconfig ─▶ connect.ts, kubeconfig.ts, diagnosis/observe.ts
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "#lib/errors.ts";
import { parseYAMLObject } from "#lib/yaml.ts";
import { CliError } from "./errors.ts";

interface Cluster {
  readonly cluster: { readonly server: string; readonly "certificate-authority-data": string };
}

interface User {
  readonly user: { readonly "client-certificate-data": string; readonly "client-key-data": string };
}

export interface ClusterKubeconfig {
  readonly clusters: readonly [Cluster, ...Cluster[]];
  readonly users: readonly [User, ...User[]];
}

/** Of the cluster whose state is in `dir`. Throws CliError Failed naming the file: somebody may have changed it. */
export function readClusterKubeconfig(dir: string): ClusterKubeconfig {
  const file = join(dir, "kubeconfig");
  const fail = (problem: string): never => {
    throw new CliError("Failed", `Cannot read ${file}: ${problem} (run: wherry down; wherry up)`);
  };
  let config: Partial<ClusterKubeconfig>;
  try {
    config = parseYAMLObject(readFileSync(file, "utf8"));
  } catch (error) {
    return fail(messageOf(error));
  }
  const { clusters, users } = config;
  if (clusters?.[0]?.cluster === undefined || users?.[0]?.user === undefined)
    return fail("wanted a cluster and a user");
  return { ...config, clusters, users };
}
