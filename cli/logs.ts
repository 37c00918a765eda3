/** `wherry logs`: prints what a container wrote. */
import { pods } from "#api/core/pod.ts";
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import { type HttpKubeClient, objectPath } from "#api/client/http.ts";
import type { KindRef } from "#api/kind.ts";
import { formatLabelSelector, toRequirements } from "#api/selector.ts";
import { splitLines } from "#api/client/lines.ts";
import { connect } from "./connect.ts";
import { CliError } from "./errors.ts";
import { findKind } from "./resources.ts";

export interface LogsOptions {
  readonly name: string;
  readonly namespace: string;
  readonly container?: string;
  readonly follow?: boolean;
  readonly tail?: string;
  readonly output: "text" | "json";
}

const lineBytesMax = 1024 * 1024;

export async function logs(
  pod: string,
  { name, namespace, container, follow, tail, output }: LogsOptions,
): Promise<void> {
  if (tail !== undefined && !/^\d+$/.test(tail))
    throw new CliError("Usage", `Cannot use --tail ${tail}: wanted a whole number`);
  const client = connect(name);
  try {
    const podName = await resolvePod(client, pod, namespace);
    const path = `${objectPath(pods, { namespace, name: podName })}/log`;
    const query = { container, follow: follow === true ? "true" : undefined, tailLines: tail };
    const bytes = await client.stream(path, query);
    if (output === "text") {
      for await (const chunk of bytes) process.stdout.write(chunk);
    } else {
      for await (const line of splitLines(bytes, lineBytesMax))
        process.stdout.write(`${JSON.stringify({ pod: podName, line })}\n`);
    }
  } finally {
    await client.close();
  }
}

/** A pod's name; of `deploy/x` or `rs/x` its first pod by name. */
async function resolvePod(client: HttpKubeClient, word: string, namespace: string): Promise<string> {
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
  if (first === undefined) throw new CliError("Failed", `Cannot print logs of ${word}: it has no pods`);
  return first;
}
