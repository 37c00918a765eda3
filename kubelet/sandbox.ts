/**
 * What a pod has before its containers: address, network, sidecar, volumes. Made and removed as a whole.
 *
 *   Pod ─▶ makeNetwork ─▶ furnish (sidecar, volumes) ─▶ containers …  removeSandbox undoes it
 *
 * Invariant: the record is on disk before anything is made, so that a successor can remove what an interrupted run
 * left, and says `furnished` only once everything is. The interception rules are there before the sidecar listens and
 * both before any container: nothing passes it by.
 */
import type { Container, Pod } from "#api/core/pod.ts";
import { sidecarStatusAnnotation } from "#api/core/pod.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import { controllerOf } from "#api/meta.ts";
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import { messageOf } from "#lib/errors.ts";
import { resolveEnvironment } from "./environment.ts";
import { resolveImage } from "./images.ts";
import type { PodRecord } from "./pod-dirs.ts";
import { netnsPath, planPodNetwork, removePodNetwork } from "./pod-network.ts";
import type { ContainerSpec } from "./runtime.ts";
import { makeVolumes, planMounts } from "./volumes.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** How long its sidecar may take for what is in flight once the containers have ended, in ms. */
const sidecarDrainMs = 1000;

/**
 * Makes the network of a pod, or makes it anew over one that an interrupted run left; then a sidecar goes first, for it
 * would go on listening in a network that nothing reaches any more. Resolves with the pod's address.
 */
export async function makeNetwork(pod: Pod, deps: WorkerDependencies): Promise<string> {
  const { addresses, dirs, runScript, sidecars } = deps;
  const { uid = "" } = pod.metadata;
  if (dirs.read(uid)?.hasSidecar === true) await sidecars.remove(uid, 0);
  const podIP = addresses.allocate(uid);
  const spec = sidecarSpec(pod, podIP);
  dirs.write(recordOf(pod, podIP, false));
  const injected = spec !== undefined && spec.gateway === undefined;
  await runScript(planPodNetwork({ podUid: uid, podIP, gatewayIP: addresses.gatewayIP, injected }));
  return podIP;
}

/** What needs the network: the sidecar, which listens when this resolves, and the volumes. Can be repeated. */
export async function furnish(pod: Pod, podIP: string, deps: WorkerDependencies): Promise<void> {
  const { dirs, sidecars, references } = deps;
  const spec = sidecarSpec(pod, podIP);
  if (spec !== undefined) await sidecars.add(spec);
  await makeVolumes(pod, dirs, references);
  dirs.write(recordOf(pod, podIP, true));
}

function recordOf(pod: Pod, podIP: string, furnished: boolean): PodRecord {
  const { namespace = "default", name, uid = "" } = pod.metadata;
  return { namespace, name, uid, podIP, hasSidecar: sidecarSpec(pod, podIP) !== undefined, furnished };
}

/** Removes everything of a pod from the node. What cannot be removed is logged: it must not keep the object. */
export async function removeSandbox(pod: Pod, deps: WorkerDependencies): Promise<void> {
  const { sidecars, runScript, dirs, runtime, addresses, log } = deps;
  const { name, uid = "" } = pod.metadata;
  const record = dirs.read(uid);
  try {
    if (record?.hasSidecar === true) await sidecars.remove(uid, sidecarDrainMs);
  } catch (error) {
    log.warn("Pod's sidecar cannot be removed", { pod: name, error: messageOf(error) });
  }
  try {
    if (record !== undefined) await runScript(removePodNetwork({ podUid: uid, podIP: record.podIP }));
  } catch (error) {
    log.warn("Pod's network cannot be removed", { pod: name, error: messageOf(error) });
  }
  runtime.remove(uid);
  dirs.remove(uid);
  addresses.release(uid);
}

/** What the runtime needs to start a container. Throws KubeletError with what is missing. */
export async function containerSpec(
  pod: Pod,
  container: Container,
  { podIP, attempt }: { podIP: string; attempt: number },
  deps: WorkerDependencies,
): Promise<ContainerSpec> {
  const { images, references, dirs, nodeName, hostIP, nameserver, nodeBinary } = deps;
  const { namespace = "default", name, uid = "" } = pod.metadata;
  const image = resolveImage(container.image ?? "", images);
  const facts = { podIP, hostIP, nodeName };
  const { env, command } = await resolveEnvironment(pod, container, image, { references, facts });
  return {
    podUid: uid,
    name: container.name,
    attempt,
    command,
    env,
    netnsPath: netnsPath(uid),
    root: {
      hostname: pod.spec.hostname ?? name.slice(0, 63),
      podIP,
      namespace,
      nameserver,
      nodeBinary,
      imageDirectory: image.directory,
      mounts: planMounts(pod, container, dirs),
      workingDir: container.workingDir ?? (image.directory === undefined ? "/" : "/app"),
    },
  };
}

/** The sidecar that a pod is to have; undefined when none. */
export function sidecarSpec(pod: Pod, podIP: string): SidecarSpec | undefined {
  const { namespace = "default", name, uid = "", labels = {}, annotations = {} } = pod.metadata;
  const gateway = labels[gatewayNameLabel];
  if (gateway === undefined && annotations[sidecarStatusAnnotation] === undefined) return undefined;
  return {
    podUid: uid,
    namespace,
    podName: name,
    podIP,
    netnsPath: netnsPath(uid),
    serviceAccount: pod.spec.serviceAccountName ?? "default",
    labels,
    workloadName: workloadName(pod),
    ...(gateway === undefined ? {} : { gateway: `${namespace}/${gateway}` }),
  };
}

/** The owning Deployment's name, else the controller's, else the pod's. */
export function workloadName(pod: Pod): string {
  const owner = controllerOf(pod);
  if (owner === undefined) return pod.metadata.name;
  const hash = pod.metadata.labels?.["pod-template-hash"];
  const suffix = `-${hash ?? ""}`;
  return owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(suffix)
    ? owner.name.slice(0, -suffix.length)
    : owner.name;
}
