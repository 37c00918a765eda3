/**
 * A pod's volumes as folders on the node: emptyDir, configMap, secret. Made once, before its containers start.
 *
 * Files of ConfigMaps and Secrets are written when the pod starts; later changes of the object do not reach them.
 * Every folder is on the cluster's tmpfs, so secrets never touch a disk.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import type { Container, KeyToPath, Pod, Volume } from "#api/core/pod.ts";
import { KubeletError } from "./errors.ts";
import type { PodDirs } from "./pod-dirs.ts";
import type { Data, References } from "./references.ts";
import type { Mount } from "./root-file-system.ts";

/** Makes the folders of all volumes. Throws KubeletError CreateContainerConfigError naming what is missing. */
export async function makeVolumes(pod: Pod, dirs: PodDirs, references: References): Promise<void> {
  for (const volume of pod.spec.volumes ?? []) {
    const dir = dirs.volumeDir(pod.metadata.uid ?? "", volume.name);
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, 0o777);
    const projected = await projectedFiles(pod, volume, references);
    for (const { path, bytes, mode } of projected) {
      mkdirSync(dirname(join(dir, path)), { recursive: true });
      // A start that is tried again finds files that nobody may write.
      rmSync(join(dir, path), { force: true });
      writeFileSync(join(dir, path), bytes, { mode });
      chmodSync(join(dir, path), mode); // Exactly, whatever the umask.
    }
  }
}

interface ProjectedFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly mode: number;
}

async function projectedFiles(pod: Pod, volume: Volume, references: References): Promise<ProjectedFile[]> {
  const namespace = pod.metadata.namespace ?? "default";
  if (volume.emptyDir !== undefined) return [];
  if (volume.configMap !== undefined) {
    const data = await references.configMap(namespace, volume.configMap.name);
    return select(data, volume.configMap, `configmap "${volume.configMap.name}"`);
  }
  if (volume.secret !== undefined) {
    const data = await references.secret(namespace, volume.secret.secretName);
    return select(data, volume.secret, `secret "${volume.secret.secretName}"`);
  }
  throw new KubeletError(
    "CreateContainerConfigError",
    `Cannot make volume "${volume.name}": wanted one of emptyDir, configMap, secret`,
  );
}

interface Projection {
  readonly items?: readonly KeyToPath[];
  readonly optional?: boolean;
  readonly defaultMode?: number;
}

function select(data: Data, { items, optional, defaultMode = 0o644 }: Projection, what: string): ProjectedFile[] {
  if (data === undefined) {
    if (optional === true) return [];
    throw new KubeletError("CreateContainerConfigError", `${what} not found`);
  }
  const chosen = items ?? [...data.keys()].map((key): KeyToPath => ({ key, path: key }));
  return chosen.flatMap(({ key, path, mode }) => {
    const bytes = data.get(key);
    if (bytes !== undefined) return [{ path: inside(path, what), bytes, mode: mode ?? defaultMode }];
    if (optional === true) return [];
    throw new KubeletError("CreateContainerConfigError", `Cannot read key ${key}: not in ${what}`);
  });
}

/** A path that stays inside its volume. */
function inside(path: string, what: string): string {
  const clean = normalize(path);
  if (!clean.startsWith("/") && !clean.split("/").includes("..")) return clean;
  throw new KubeletError(
    "CreateContainerConfigError",
    `Cannot use path ${JSON.stringify(path)} of ${what}: wanted one inside the volume`,
  );
}

/** The mounts of one container. */
export function planMounts(pod: Pod, container: Container, dirs: PodDirs): Mount[] {
  return (container.volumeMounts ?? []).map((mount) => {
    const volume = pod.spec.volumes?.find(({ name }) => name === mount.name);
    if (volume === undefined) {
      throw new KubeletError("CreateContainerConfigError", `Cannot mount "${mount.name}": the pod has no such volume`);
    }
    const dir = dirs.volumeDir(pod.metadata.uid ?? "", mount.name);
    const source = mount.subPath === undefined ? dir : subPath(dir, mount.subPath, volume);
    // Checked again where it is mounted: what a path leads to may have changed by then.
    const readOnly = mount.readOnly === true || volume.configMap !== undefined || volume.secret !== undefined;
    // Always absolute and without "..": a relative one counts from the root, as with other runtimes.
    return { source, target: join("/", mount.mountPath), readOnly, within: dir };
  });
}

/**
 * A file or folder of a volume; made where it is a folder of an emptyDir that is not there.
 * A container can put links into an emptyDir: none is followed, for it would lead out of the volume (CVE-2017-1002101).
 * A link swapped in while this runs can still make it create empty folders elsewhere; `mount-script.ts` mounts none.
 */
function subPath(dir: string, path: string, volume: Volume): string {
  let at = dir;
  for (const segment of inside(path, `volume "${volume.name}"`).split("/")) {
    at = join(at, segment);
    const found = lstatSync(at, { throwIfNoEntry: false });
    if (found?.isSymbolicLink() === true) {
      throw new KubeletError(
        "CreateContainerConfigError",
        `Cannot use path ${JSON.stringify(path)} of volume "${volume.name}": ${segment} is a link`,
      );
    }
    if (found === undefined && volume.emptyDir !== undefined) mkdirSync(at);
  }
  return at;
}
