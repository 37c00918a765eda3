/**
 * metrics.k8s.io/v1beta1: what nodes and pods use now, computed from their kubelets' statistics at each question.
 *
 *   kubectl top ─▶ GET nodes, pods ─▶ GET /stats/summary of the kubelets concerned, at once ─▶ NodeMetrics, PodMetrics
 *
 * A kubelet that does not answer in time is left out: some figures are better than none. Nothing is kept.
 * Follows: kubernetes-sigs/metrics-server pkg/api.
 */
import { type Node, nodes } from "#api/core/node.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import type { KindRef } from "#api/kind.ts";
import { formatTime, type KubeObject } from "#api/meta.ts";
import { formatResource } from "#api/schema/field-error.ts";
import type { Kind } from "#api/schema/kind.ts";
import { StatusError } from "#api/status.ts";
import type { ContainerStats, CPUStats, MemoryStats, PodStats, StatsSummary } from "#api/wire/stats.ts";
import { messageOf } from "#lib/errors.ts";
import type { Dispatched } from "./dispatch.ts";
import { type Answer, type Exchange, json } from "./exchange.ts";
import { addressOf } from "./kubelet-address.ts";
import type { ReadStats } from "./kubelet-client.ts";
import type { ResourcePath } from "./path.ts";
import type { Registry } from "./registry.ts";
import { group, metricsKinds, nodeMetrics, version } from "./resource-metrics-kinds.ts";
import { parseSelection } from "./selection.ts";
import { notAllowed } from "./subresource.ts";

/** Longest wait for a kubelet, in ms. */
const timeoutMs = 2000;
/** Kubelets asked at a time. */
const parallelMax = 64;
/** The time over which kubelets average. They sample every few seconds and do not say it. */
const window = "10s";

/** What to do for a path of metrics.k8s.io; undefined for any other. Throws NotFound, MethodNotAllowed. */
export function dispatchMetrics(
  context: { readonly registry: Registry; readonly readStats: ReadStats | undefined },
  exchange: Exchange,
  path: ResourcePath,
): Dispatched | undefined {
  if (path.group !== group || path.version !== version) return undefined;
  const kind = metricsKinds.find(({ plural }) => plural === path.plural);
  const isPlaced =
    kind?.namespaced === true ? path.name === "" || path.namespace !== undefined : path.namespace === undefined;
  if (kind === undefined || !isPlaced || path.subresource !== "")
    throw new StatusError("NotFound", "the server could not find the requested resource");
  if (exchange.method !== "GET") throw notAllowed();
  const { readStats } = context;
  const run = async (): Promise<Answer> => {
    if (readStats === undefined) {
      const action = `${path.name === "" ? "list" : "get"} ${formatResource(kind)}`;
      throw new StatusError("ServiceUnavailable", `the server is currently unable to handle the request (${action})`);
    }
    const question = { registry: context.registry, readStats, exchange, path, kind };
    return json(path.name === "" ? await listMetrics(question) : await getMetrics(question));
  };
  return { labels: { verb: path.name === "" ? "LIST" : "GET", resource: kind.plural }, run };
}

interface Question {
  readonly registry: Registry;
  readonly readStats: ReadStats;
  readonly exchange: Exchange;
  readonly path: ResourcePath;
  readonly kind: KindRef;
}

async function listMetrics(question: Question): Promise<unknown> {
  const { registry, exchange, path, kind } = question;
  const { query } = exchange;
  const served = servedOf(kind);
  const matches = parseSelection(served, {
    labelSelector: query.get("labelSelector") ?? "",
    fieldSelector: query.get("fieldSelector") ?? "",
  });
  const all: readonly KubeObject[] = registry.cache.list(served, path.namespace);
  const items = await measure(question, matches === undefined ? all : all.filter(matches));
  return { kind: `${kind.kind}List`, apiVersion: `${group}/${version}`, metadata: {}, items };
}

async function getMetrics(question: Question): Promise<unknown> {
  const { registry, path, kind } = question;
  const { namespace, name } = path;
  const key = namespace === undefined ? { name } : { namespace, name };
  const object = registry.cache.get(servedOf(kind), key);
  const [found] = object === undefined ? [] : await measure(question, [object]);
  if (found !== undefined) return found;
  const shown = namespace === undefined ? name : `${namespace}/${name}`;
  const message = `${formatResource(kind)} ${JSON.stringify(shown)} not found`;
  throw new StatusError("NotFound", message, { name: shown, group, kind: kind.plural });
}

/** The kind of the objects that are measured. */
function servedOf(kind: KindRef): Kind {
  return kind === nodeMetrics ? nodes : pods;
}

/** The metrics of these Nodes or Pods, less those of which nothing is known. */
async function measure(question: Question, objects: readonly KubeObject[]): Promise<unknown[]> {
  const { registry, kind } = question;
  const created = formatTime(registry.clock.nowMs());
  if (kind === nodeMetrics) {
    const summaries = await readAll(question, objects);
    return objects.flatMap(
      (node) => summaries.get(node.metadata.name)?.node.map((stats) => nodeMetricsOf(node, stats, created)) ?? [],
    );
  }
  const names = new Set((objects as readonly Pod[]).map(({ spec }) => spec.nodeName ?? ""));
  const hosts = [...names].flatMap((name) => registry.cache.get<Node>(nodes, { name }) ?? []);
  const byUid = new Map<string, PodStats>();
  for (const { pods } of (await readAll(question, hosts)).values())
    for (const stats of pods) byUid.set(stats.podRef.uid, stats);
  return objects.flatMap((pod) => {
    const stats = byUid.get(pod.metadata.uid ?? "");
    return stats === undefined || stats.containers.length === 0 ? [] : [podMetricsOf(pod, stats, created)];
  });
}

interface Summary {
  /** None when the kubelet has not measured yet. */
  readonly node: readonly StatsSummary["node"][];
  readonly pods: readonly PodStats[];
}

async function readAll(question: Question, hosts: readonly Node[]): Promise<ReadonlyMap<string, Summary>> {
  const found = new Map<string, Summary>();
  const rest = [...hosts];
  const work = async (): Promise<void> => {
    for (let host = rest.pop(); host !== undefined; host = rest.pop()) {
      const summary = await readOne(question, host);
      if (summary !== undefined) found.set(host.metadata.name, summary);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallelMax, hosts.length) }, work));
  return found;
}

async function readOne({ registry, readStats, exchange }: Question, host: Node): Promise<Summary | undefined> {
  const address = addressOf(host);
  if (address === undefined) return undefined;
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, exchange.signal]);
  // Not left to the client of the kubelet alone: a connection that is still being made may not heed the signal.
  const isLate = new Promise<never>((_resolve, reject) =>
    signal.addEventListener("abort", () => reject(new Error(`it did not answer in ${timeoutMs} ms`)), { once: true }),
  );
  const timer = registry.clock.after(timeoutMs, () => abort.abort());
  try {
    return readSummary(await Promise.race([readStats(address, signal), isLate]));
  } catch (error) {
    exchange.warnings.push(`no metrics of node ${host.metadata.name}: ${messageOf(error)}`);
    return undefined;
  } finally {
    timer.cancel();
  }
}

/** A kubelet's answer, less what in it is not as it should be. */
function readSummary(sent: Partial<StatsSummary> | null): Summary {
  const isCounted = (stats: Partial<ContainerStats> | undefined): boolean =>
    typeof stats?.cpu?.usageNanoCores === "number" && typeof stats.memory?.workingSetBytes === "number";
  const { node, pods } = sent ?? {};
  return {
    node: node !== undefined && isCounted(node) ? [node] : [],
    pods: (Array.isArray(pods) ? (pods as readonly PodStats[]) : [])
      .filter((pod) => typeof pod?.podRef?.uid === "string" && Array.isArray(pod.containers))
      .map((pod) => ({ ...pod, containers: pod.containers.filter(isCounted) })),
  };
}

function nodeMetricsOf({ metadata }: KubeObject, stats: StatsSummary["node"], created: string): unknown {
  return {
    kind: "NodeMetrics",
    apiVersion: `${group}/${version}`,
    metadata: { name: metadata.name, creationTimestamp: created, labels: metadata.labels ?? {} },
    timestamp: stats.cpu.time,
    window,
    usage: usageOf(stats.cpu, stats.memory),
  };
}

function podMetricsOf({ metadata }: KubeObject, { containers }: PodStats, created: string): unknown {
  const { name, namespace, labels = {} } = metadata;
  return {
    kind: "PodMetrics",
    apiVersion: `${group}/${version}`,
    metadata: { name, namespace, creationTimestamp: created, labels },
    timestamp: containers[0]?.cpu.time ?? created,
    window,
    containers: containers.map((stats) => ({ name: stats.name, usage: usageOf(stats.cpu, stats.memory) })),
  };
}

function usageOf(cpu: CPUStats, memory: MemoryStats): unknown {
  return { cpu: `${Math.round(cpu.usageNanoCores)}n`, memory: `${Math.round(memory.workingSetBytes / 1024)}Ki` };
}
