/** Pods as people name them: `web`, `pod/web`, `deploy/web`, `svc/web`, `gateway/web`. */
import type { KubeClient } from "#api/client/client.ts";
import { pods } from "#api/core/pod.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import type { KubeObject, LabelSelector, ObjectKey } from "#api/meta.ts";
import { formatLabelSelector, toRequirements } from "#api/selector.ts";
import { CliError } from "./errors.ts";
import { findKind } from "./resources.ts";

/** The pod of `[KIND/[NS/]]NAME`; of `deploy/x` and whatever else has pods, the first that runs, by name. */
export async function resolvePod(client: KubeClient, word: string, otherwise: string): Promise<ObjectKey> {
  const words = word.split("/");
  const name = words.at(-1) ?? "";
  const namespace = words.length === 3 ? (words[1] ?? "") : otherwise;
  const kind = words.length === 1 ? pods : findKind(words[0] ?? "");
  if (kind.plural === "pods") return { namespace, name };
  const owner = await client.get<KubeObject>(kind, { namespace, name });
  const labelSelector = kind.plural === "gateways" ? `${gatewayNameLabel}=${name}` : selectorOf(owner);
  if (labelSelector === undefined)
    throw new CliError(
      "Usage",
      `Cannot find pods of ${word}: wanted a pod or what has pods (deploy, rs, ds, job, svc, gateway)`,
    );
  const { items } = await client.list(pods, { namespace, labelSelector });
  const running = items.filter(({ status }) => status?.phase === "Running");
  const [first] = (running.length > 0 ? running : items).map(({ metadata }) => metadata.name).sort();
  if (first === undefined) throw new CliError("Failed", `Cannot find a pod of ${word}: it has none`);
  return { namespace, name: first };
}

/** The selector of a workload, or the plain labels of a Service; undefined for a kind that has neither. */
function selectorOf(owner: KubeObject): string | undefined {
  const { selector } = (owner as { spec?: { selector?: LabelSelector | Readonly<Record<string, string>> } }).spec ?? {};
  if (selector === undefined || Object.keys(selector).length === 0) return undefined;
  const isFull = "matchLabels" in selector || "matchExpressions" in selector;
  const full = isFull ? (selector as LabelSelector) : { matchLabels: selector as Readonly<Record<string, string>> };
  return formatLabelSelector(toRequirements(full));
}
