/** Pods as people name them: `web`, `pod/web`, `deploy/web`. */
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import type { KubeClient } from "#api/client/client.ts";
import { pods } from "#api/core/pod.ts";
import type { KindRef } from "#api/kind.ts";
import { formatLabelSelector, toRequirements } from "#api/selector.ts";
import { CliError } from "./errors.ts";
import { findKind } from "./resources.ts";

/** A pod's name; of `deploy/x` or `rs/x` its first pod by name. */
export async function resolvePod(client: KubeClient, word: string, namespace: string): Promise<string> {
  const [kindWord = "", name] = word.split("/");
  if (name === undefined) return word;
  const kind = findKind(kindWord);
  if (kind.plural === "pods") return name;
  const owners: readonly KindRef<Deployment | ReplicaSet>[] = [deployments, replicaSets];
  const owner = owners.find(({ plural }) => plural === kind.plural);
  if (owner === undefined)
    throw new CliError("Usage", `Cannot find pods of ${word}: wanted a pod, deployment or replicaset`);
  const { spec } = await client.get<Deployment | ReplicaSet>(owner, { namespace, name });
  const labelSelector = formatLabelSelector(toRequirements(spec.selector));
  const { items } = await client.list(pods, { namespace, labelSelector });
  const [first] = items.map(({ metadata }) => metadata.name).sort();
  if (first === undefined) throw new CliError("Failed", `Cannot find a pod of ${word}: it has none`);
  return first;
}
