/**
 * A container's environment, command and arguments, with references resolved and `$(VAR)` expanded, as Kubernetes does.
 */
import type { Container, EnvVar, Pod } from "#api/core/pod.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import { KubeletError } from "./errors.ts";
import type { Data, References } from "./references.ts";
import { containerPath } from "./root-file-system.ts";

export interface Environment {
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

/** What the pod's own fields give where `fieldRef` asks. */
export interface PodFacts {
  readonly podIP: string;
  readonly hostIP: string;
  readonly nodeName: string;
}

/** Throws KubeletError CreateContainerConfigError naming what is missing. */
export async function resolveEnvironment(
  pod: Pod,
  container: Container,
  image: ImageMapEntry,
  { references, facts }: { references: References; facts: PodFacts },
): Promise<Environment> {
  const namespace = pod.metadata.namespace ?? "default";
  const env: Record<string, string> = { PATH: containerPath, HOME: "/root", HOSTNAME: pod.metadata.name, ...image.env };
  for (const source of container.envFrom ?? []) {
    const reference = source.configMapRef ?? source.secretRef;
    if (reference === undefined) continue;
    const kind = source.configMapRef === undefined ? "secret" : "configMap";
    const data = await references[kind](namespace, reference.name);
    if (data === undefined && reference.optional !== true) throw missing(kind, reference.name);
    for (const [key, value] of data ?? []) env[`${source.prefix ?? ""}${key}`] = value.toString();
  }
  for (const variable of container.env ?? []) {
    const value = await valueOf(variable, { pod, namespace, references, facts });
    if (value !== undefined) env[variable.name] = expand(value, env);
  }
  const words = [...(container.command ?? image.command), ...(container.args ?? [])];
  return { env, command: words.map((word) => expand(word, env)) };
}

/** `$(NAME)` becomes the variable's value where there is one; `$$` is a dollar. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()\s]+)\)/g, (match, name: string | undefined) =>
    name === undefined ? "$" : Object.hasOwn(env, name) ? (env[name] ?? match) : match,
  );
}

async function valueOf(
  { name, value, valueFrom }: EnvVar,
  { pod, namespace, references, facts }: { pod: Pod; namespace: string; references: References; facts: PodFacts },
): Promise<string | undefined> {
  if (valueFrom === undefined) return value ?? "";
  if (valueFrom.configMapKeyRef !== undefined) {
    const { name: object, key, optional } = valueFrom.configMapKeyRef;
    return keyOf("configMap", object, { data: await references.configMap(namespace, object), key, optional });
  }
  if (valueFrom.secretKeyRef !== undefined) {
    const { name: object, key, optional } = valueFrom.secretKeyRef;
    return keyOf("secret", object, { data: await references.secret(namespace, object), key, optional });
  }
  if (valueFrom.fieldRef !== undefined) return fieldOf(pod, valueFrom.fieldRef.fieldPath, facts);
  throw new KubeletError(
    "CreateContainerConfigError",
    `Cannot set environment variable ${name}: resourceFieldRef is not supported`,
  );
}

function keyOf(
  kind: string,
  object: string,
  { data, key, optional }: { data: Data; key: string; optional: boolean | undefined },
): string | undefined {
  const bytes = data?.get(key);
  if (bytes !== undefined) return bytes.toString();
  if (optional === true) return undefined;
  if (data === undefined) throw missing(kind, object);
  throw new KubeletError(
    "CreateContainerConfigError",
    `Cannot read key ${key}: not in ${kind.toLowerCase()} "${object}"`,
  );
}

function missing(kind: string, name: string): KubeletError {
  return new KubeletError("CreateContainerConfigError", `${kind.toLowerCase()} "${name}" not found`);
}

/** The downward API's environment fields. */
function fieldOf(pod: Pod, path: string, { podIP, hostIP, nodeName }: PodFacts): string {
  const { name, namespace = "default", uid = "", labels, annotations } = pod.metadata;
  const fields: Readonly<Record<string, string>> = {
    "metadata.name": name,
    "metadata.namespace": namespace,
    "metadata.uid": uid,
    "spec.nodeName": nodeName,
    "spec.serviceAccountName": pod.spec.serviceAccountName ?? "default",
    "status.hostIP": hostIP,
    "status.hostIPs": hostIP,
    "status.podIP": podIP,
    "status.podIPs": podIP,
  };
  const subscript = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (subscript !== null) return (subscript[1] === "labels" ? labels : annotations)?.[subscript[2] ?? ""] ?? "";
  const value = Object.hasOwn(fields, path) ? fields[path] : undefined;
  if (value !== undefined) return value;
  throw new KubeletError(
    "CreateContainerConfigError",
    `Cannot read field ${path}: wanted one of ${Object.keys(fields).join(", ")}`,
  );
}
