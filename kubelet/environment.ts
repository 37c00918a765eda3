/**
 * A container's environment, command and arguments, with references resolved and `$(VAR)` expanded, as Kubernetes does.
 */
import type { EnvVar } from "#api/core/env.ts";
import type { Container, Pod } from "#api/core/pod.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import { KubeletError } from "./errors.ts";
import { containersOf } from "./pod-actions.ts";
import type { Data, References } from "./references.ts";
import { type PodFacts, fieldText, resourceText } from "./downward.ts";
import { containerPath } from "./root-file-system.ts";

export interface Environment {
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

/** Where containers find the API server: the address of the Service `kubernetes`. */
export interface APIService {
  readonly host: string;
  readonly port: number;
}

/** Throws KubeletError CreateContainerConfigError naming what is missing. */
export async function resolveEnvironment(
  pod: Pod,
  container: Container,
  image: ImageMapEntry,
  { references, facts, api }: { references: References; facts: PodFacts; api: APIService },
): Promise<Environment> {
  const namespace = pod.metadata.namespace ?? "default";
  const env: Record<string, string> = {
    PATH: containerPath,
    HOME: "/root",
    HOSTNAME: pod.spec.hostname ?? pod.metadata.name.slice(0, 63),
    ...apiVariables(api),
    ...image.env,
  };
  for (const source of container.envFrom ?? []) {
    const reference = source.configMapRef ?? source.secretRef;
    if (reference === undefined) continue;
    const kind = source.configMapRef === undefined ? "secret" : "configMap";
    const data = await references[kind](namespace, reference.name);
    if (data === undefined && reference.optional !== true) throw missing(kind, reference.name);
    for (const [key, value] of data ?? []) env[`${source.prefix ?? ""}${key}`] = value.toString();
  }
  for (const variable of container.env ?? []) {
    const value = await valueOf(variable, { pod, container, namespace, references, facts });
    if (value !== undefined) env[variable.name] = expand(value, env);
  }
  const words = [...(container.command ?? image.command), ...(container.args ?? [])];
  return { env, command: words.map((word) => expand(word, env)) };
}

/** What in-cluster clients look for, as every container of a Kubernetes cluster has it. */
function apiVariables({ host, port }: APIService): Record<string, string> {
  const url = `tcp://${host}:${port}`;
  return {
    KUBERNETES_SERVICE_HOST: host,
    KUBERNETES_SERVICE_PORT: String(port),
    KUBERNETES_SERVICE_PORT_HTTPS: String(port),
    KUBERNETES_PORT: url,
    [`KUBERNETES_PORT_${port}_TCP`]: url,
    [`KUBERNETES_PORT_${port}_TCP_PROTO`]: "tcp",
    [`KUBERNETES_PORT_${port}_TCP_PORT`]: String(port),
    [`KUBERNETES_PORT_${port}_TCP_ADDR`]: host,
  };
}

/** `$(NAME)` becomes the variable's value where there is one; `$$` is a dollar. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()\s]+)\)/g, (match, name: string | undefined) =>
    name === undefined ? "$" : Object.hasOwn(env, name) ? (env[name] ?? match) : match,
  );
}

interface Where {
  readonly pod: Pod;
  readonly container: Container;
  readonly namespace: string;
  readonly references: References;
  readonly facts: PodFacts;
}

async function valueOf(
  { value, valueFrom }: EnvVar,
  { pod, container, namespace, references, facts }: Where,
): Promise<string | undefined> {
  if (valueFrom === undefined) return value ?? "";
  const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef } = valueFrom;
  if (configMapKeyRef !== undefined) {
    const { name, key, optional } = configMapKeyRef;
    return keyOf("ConfigMap", `${namespace}/${name}`, {
      data: await references.configMap(namespace, name),
      key,
      optional,
    });
  }
  if (secretKeyRef !== undefined) {
    const { name, key, optional } = secretKeyRef;
    return keyOf("Secret", `${namespace}/${name}`, { data: await references.secret(namespace, name), key, optional });
  }
  if (fieldRef !== undefined) return fieldText(pod, fieldRef.fieldPath, facts);
  if (resourceFieldRef === undefined) return "";
  const { containerName = container.name } = resourceFieldRef;
  const other = containersOf(pod).find((candidate) => candidate.container.name === containerName)?.container;
  return resourceText(other ?? container, resourceFieldRef, facts.allocatable);
}

function keyOf(
  kind: "ConfigMap" | "Secret",
  object: string,
  { data, key, optional }: { data: Data; key: string; optional: boolean | undefined },
): string | undefined {
  const bytes = data?.get(key);
  if (bytes !== undefined) return bytes.toString();
  if (optional === true) return undefined;
  if (data === undefined) throw missing(kind, object.slice(object.indexOf("/") + 1));
  throw new KubeletError("CreateContainerConfigError", `couldn't find key ${key} in ${kind} ${object}`);
}

function missing(kind: string, name: string): KubeletError {
  return new KubeletError("CreateContainerConfigError", `${kind.toLowerCase()} "${name}" not found`);
}
