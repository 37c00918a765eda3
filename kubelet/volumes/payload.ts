/**
 * The files that a volume is to hold: from ConfigMaps, Secrets, the pod's own fields, and tokens.
 *
 *   Volume ─▶ projectedFiles() ─▶ atomic-writer.ts
 *
 * Messages are the reference kubelet's, as its FailedMount events show them.
 */
import { normalize } from "node:path";
import type { DownwardAPIFile, KeyToPath, Pod, Volume, VolumeProjection } from "#api/core/pod.ts";
import { type NodeResources, fieldText, resourceText } from "../downward.ts";
import { KubeletError } from "../errors.ts";
import type { Data, References } from "../references.ts";
import { containersOf } from "../pod-actions.ts";
import type { ProjectedFile } from "./atomic-writer.ts";
import type { Tokens } from "./tokens.ts";

/** What the contents of volumes are made of. */
export interface VolumeSources {
  readonly references: References;
  readonly tokens: Pick<Tokens, "token">;
  readonly allocatable: NodeResources;
}

/** A token is its reader's alone: containers own it, and nobody else on the host may read it. */
const tokenMode = 0o600;
const modeDefault = 0o644;
const hour = 3600;

/** Whether the kubelet writes the volume's files, and keeps them current. */
export function isProjected({ configMap, secret, downwardAPI, projected }: Volume): boolean {
  return [configMap, secret, downwardAPI, projected].some((source) => source !== undefined);
}

/** Throws KubeletError FailedMount naming what is missing. */
export async function projectedFiles(pod: Pod, volume: Volume, sources: VolumeSources): Promise<ProjectedFile[]> {
  try {
    const { configMap, secret, downwardAPI, projected } = volume;
    const modeOf = (source: { readonly defaultMode?: number } | undefined): number =>
      source?.defaultMode ?? modeDefault;
    if (configMap !== undefined) return await filesOf(pod, { configMap }, modeOf(configMap), sources);
    if (secret !== undefined) {
      const { secretName, ...rest } = secret;
      return await filesOf(pod, { secret: { ...rest, name: secretName } }, modeOf(secret), sources);
    }
    if (downwardAPI !== undefined) return await filesOf(pod, { downwardAPI }, modeOf(downwardAPI), sources);
    const files: ProjectedFile[] = [];
    for (const source of projected?.sources ?? [])
      files.push(...(await filesOf(pod, source, modeOf(projected), sources)));
    return files;
  } catch (error) {
    if (!(error instanceof KubeletError)) throw error;
    throw new KubeletError("FailedMount", `MountVolume.SetUp failed for volume "${volume.name}" : ${error.message}`);
  }
}

async function filesOf(
  pod: Pod,
  { configMap, secret, downwardAPI, serviceAccountToken }: VolumeProjection,
  mode: number,
  { references, tokens, allocatable }: VolumeSources,
): Promise<ProjectedFile[]> {
  const { namespace = "default" } = pod.metadata;
  if (configMap !== undefined) {
    const data = await references.configMap(namespace, configMap.name ?? "");
    return select(data, { ...configMap, mode }, { kind: "configmap", key: "config", name: configMap.name ?? "" });
  }
  if (secret !== undefined) {
    const data = await references.secret(namespace, secret.name ?? "");
    return select(data, { ...secret, mode }, { kind: "secret", key: "secret", name: secret.name ?? "" });
  }
  if (downwardAPI !== undefined)
    return (downwardAPI.items ?? []).map((file) => downwardFile(pod, file, mode, allocatable));
  if (serviceAccountToken === undefined) return [];
  const { audience, expirationSeconds = hour, path } = serviceAccountToken;
  const token = await tokens.token(pod, { audience, expirationSeconds });
  return [{ path: inside(path), bytes: Buffer.from(token), mode: tokenMode }];
}

function select(
  data: Data,
  { items, optional, mode: defaultMode }: { items?: readonly KeyToPath[]; optional?: boolean; mode: number },
  what: { kind: string; key: string; name: string },
): ProjectedFile[] {
  if (data === undefined) {
    if (optional === true) return [];
    throw new KubeletError("FailedMount", `${what.kind} "${what.name}" not found`);
  }
  const chosen = items ?? [...data.keys()].map((key): KeyToPath => ({ key, path: key }));
  return chosen.flatMap(({ key, path, mode }) => {
    const bytes = data.get(key);
    if (bytes !== undefined) return [{ path: inside(path), bytes, mode: mode ?? defaultMode }];
    if (optional === true) return [];
    throw new KubeletError("FailedMount", `references non-existent ${what.key} key: ${key}`);
  });
}

function downwardFile(
  pod: Pod,
  { path, fieldRef, resourceFieldRef, mode }: DownwardAPIFile,
  defaultMode: number,
  allocatable: NodeResources,
): ProjectedFile {
  const text =
    fieldRef === undefined
      ? resourceOf(pod, resourceFieldRef, allocatable)
      : fieldText(pod, fieldRef.fieldPath, undefined);
  return { path: inside(path), bytes: Buffer.from(text), mode: mode ?? defaultMode };
}

function resourceOf(pod: Pod, selector: DownwardAPIFile["resourceFieldRef"], allocatable: NodeResources): string {
  const name = selector?.containerName ?? "";
  const container = containersOf(pod).find((candidate) => candidate.container.name === name)?.container;
  if (selector !== undefined && container !== undefined) return resourceText(container, selector, allocatable);
  throw new KubeletError("FailedMount", `couldn't find container "${name}" in the pod`);
}

/** A path that stays inside its volume. */
export function inside(path: string): string {
  const clean = normalize(path);
  if (!clean.startsWith("/") && !clean.split("/").includes("..")) return clean;
  throw new KubeletError("FailedMount", `Cannot use path ${JSON.stringify(path)}: wanted one inside the volume`);
}
