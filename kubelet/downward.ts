/**
 * The downward API: what a pod tells its own containers about itself. Pure.
 *
 *   environment.ts, volumes/payload.ts ─▶ fieldText(), resourceText() ─▶ values of variables, contents of files
 *
 * Follows: k8s.io/kubernetes pkg/fieldpath, pkg/api/v1/resource/helpers.go.
 */
import { splitSubscript } from "#api/core/downward-rules.ts";
import type { ResourceFieldSelector } from "#api/core/env.ts";
import type { Container, Pod } from "#api/core/pod.ts";
import { parseMilli, parseQuantity } from "#api/quantity.ts";
import { KubeletError } from "./errors.ts";

/** What a pod cannot know by its object alone. */
export interface PodFacts {
  readonly podIP: string;
  readonly hostIP: string;
  readonly nodeName: string;
  /** What a limit that is not set stands for. */
  readonly allocatable: NodeResources;
}

/** A node's size. */
export interface NodeResources {
  readonly cpus: number;
  /** In bytes. */
  readonly memory: number;
  /** In bytes. */
  readonly storage: number;
}

/** The text of a field; facts are wanted for fields beyond the metadata. Throws KubeletError for an unknown one. */
export function fieldText(pod: Pod, path: string, facts: Omit<PodFacts, "allocatable"> | undefined): string {
  const { name, namespace = "default", uid = "", labels, annotations } = pod.metadata;
  const subscript = splitSubscript(path);
  if (subscript !== undefined) return (subscript.map === "labels" ? labels : annotations)?.[subscript.key] ?? "";
  const fields: Readonly<Record<string, string>> = {
    "metadata.name": name,
    "metadata.namespace": namespace,
    "metadata.uid": uid,
    "metadata.labels": formatMap(labels),
    "metadata.annotations": formatMap(annotations),
    "spec.serviceAccountName": pod.spec.serviceAccountName ?? "default",
    ...(facts === undefined
      ? {}
      : {
          "spec.nodeName": facts.nodeName,
          "status.hostIP": facts.hostIP,
          "status.hostIPs": facts.hostIP,
          "status.podIP": facts.podIP,
          "status.podIPs": facts.podIP,
        }),
  };
  const value = Object.hasOwn(fields, path) ? fields[path] : undefined;
  if (value !== undefined) return value;
  throw new KubeletError(
    "CreateContainerConfigError",
    `Cannot read field ${path}: wanted one of ${Object.keys(fields).join(", ")}`,
  );
}

/** One `key="value"` a line, sorted, quoted as Go quotes. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  const lines = Object.entries(map ?? {}).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return lines.sort().join("\n");
}

/** The amount that a container requests or may use, in `divisor`s, rounded up. */
export function resourceText(
  container: Container,
  { resource, divisor = "1" }: ResourceFieldSelector,
  allocatable: NodeResources,
): string {
  const [list, name] = splitOnce(resource);
  const set = list === "limits" ? container.resources?.limits : container.resources?.requests;
  const text = set?.[name];
  const unit = parseMilli(divisor) || 1000;
  const milli = text === undefined ? (list === "limits" ? defaultMilli(name, allocatable) : 0) : parseMilli(text);
  return String(Math.ceil((milli ?? 0) / unit));
}

function splitOnce(text: string): [string, string] {
  const dot = text.indexOf(".");
  return [text.slice(0, dot), text.slice(dot + 1)];
}

/** A container without a limit may use all of the node. In thousandths. */
function defaultMilli(name: string, { cpus, memory, storage }: NodeResources): number {
  if (name === "cpu") return cpus * 1000;
  return (name === "memory" ? memory : name === "ephemeral-storage" ? storage : 0) * 1000;
}

/** A quantity in whole units, rounded up; undefined for none, or one that cannot be read. */
export function amountOf(text: string | undefined): number | undefined {
  const amount = text === undefined ? undefined : parseQuantity(text);
  return amount === undefined ? undefined : Math.ceil(amount);
}
