/**
 * A pod's volumes as folders on the node, and where its containers see them.
 *
 *   Pod ─▶ makeVolumes() before its containers ─▶ planMounts() ─▶ root file system
 *        ─▶ refreshVolumes() while it runs: changed ConfigMaps, Secrets and fields, tokens due for renewal
 *
 * Every folder is on the cluster's tmpfs, below one that only the cluster's user may enter: secrets never touch a disk.
 */
import { chmodSync, lstatSync, mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { Container, Pod, Volume } from "#api/core/pod.ts";
import { messageOf } from "#lib/errors.ts";
import { KubeletError } from "../errors.ts";
import type { PodDirs } from "../pod-dirs.ts";
import type { Mount } from "../root-file-system.ts";
import { writeVolume } from "./atomic-writer.ts";
import { type VolumeSources, inside, isProjected, projectedFiles } from "./payload.ts";

/** Makes the folders of all volumes. Throws KubeletError FailedMount naming what is missing. */
export async function makeVolumes(pod: Pod, dirs: PodDirs, sources: VolumeSources, nowMs: number): Promise<void> {
  for (const volume of pod.spec.volumes ?? []) {
    const dir = dirs.volumeDir(pod.metadata.uid ?? "", volume.name);
    mkdirSync(dir, { recursive: true });
    if (isProjected(volume)) writeVolume(dir, await projectedFiles(pod, volume, sources), nowMs);
    else if (volume.emptyDir !== undefined) chmodSync(dir, 0o777);
    else {
      const kind = Object.keys(volume).find((name) => name !== "name") ?? "nothing";
      throw new KubeletError(
        "FailedMount",
        `MountVolume.SetUp failed for volume "${volume.name}" : Cannot mount ${kind}: wanted emptyDir, configMap, secret, downwardAPI or projected`,
      );
    }
  }
}

/** Brings what the kubelet writes up to date. What cannot be read is left as it is; answers with the sentences why. */
export async function refreshVolumes(
  pod: Pod,
  dirs: PodDirs,
  sources: VolumeSources,
  nowMs: number,
): Promise<string[]> {
  const failures: string[] = [];
  for (const volume of (pod.spec.volumes ?? []).filter(isProjected)) {
    const dir = dirs.volumeDir(pod.metadata.uid ?? "", volume.name);
    try {
      const files = await projectedFiles(pod, volume, sources);
      // Removed meanwhile: nothing must come back.
      if (lstatSync(dir, { throwIfNoEntry: false }) !== undefined) writeVolume(dir, files, nowMs);
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  return failures;
}

/** The mounts of one container; those that lie in others after them. */
export function planMounts(pod: Pod, container: Container, dirs: PodDirs): Mount[] {
  const mounts = (container.volumeMounts ?? []).map((mount) => {
    const volume = pod.spec.volumes?.find(({ name }) => name === mount.name);
    if (volume === undefined) {
      throw new KubeletError("CreateContainerConfigError", `Cannot mount "${mount.name}": the pod has no such volume`);
    }
    const dir = dirs.volumeDir(pod.metadata.uid ?? "", mount.name);
    const source = mount.subPath === undefined ? dir : subPath(dir, mount.subPath, volume);
    // Checked again where it is mounted: what a path leads to may have changed by then.
    const readOnly = mount.readOnly === true || isProjected(volume);
    // Always absolute and without "..": a relative one counts from the root, as with other runtimes.
    return { source, target: join("/", mount.mountPath), readOnly, within: dir };
  });
  const depthOf = ({ target }: Mount): number => target.split("/").filter((segment) => segment !== "").length;
  return mounts.sort((one, other) => depthOf(one) - depthOf(other));
}

/**
 * A file or folder of a volume; made where it is a folder of an emptyDir that is not there.
 * A container can put links into an emptyDir: none is followed, for it would lead out of the volume (CVE-2017-1002101).
 * A link swapped in while this runs can still make it create empty folders elsewhere; `mount-script.ts` mounts none.
 * The links of a projected volume are the kubelet's own: a subPath is what they lead to now, and never changes.
 */
function subPath(dir: string, path: string, volume: Volume): string {
  const clean = inside(path);
  if (isProjected(volume)) return projectedPath(dir, clean, volume);
  let at = dir;
  for (const segment of clean.split("/")) {
    at = join(at, segment);
    const found = lstatSync(at, { throwIfNoEntry: false });
    if (found?.isSymbolicLink() === true) {
      throw new KubeletError(
        "CreateContainerConfigError",
        `Cannot use path ${JSON.stringify(path)} of volume "${volume.name}": ${segment} is a link`,
      );
    }
    if (found === undefined) mkdirSync(at);
  }
  return at;
}

function projectedPath(dir: string, path: string, { name }: Volume): string {
  try {
    return realpathSync(join(dir, path));
  } catch {
    throw new KubeletError(
      "CreateContainerConfigError",
      `Cannot use path ${JSON.stringify(path)} of volume "${name}": the volume has no such file`,
    );
  }
}
