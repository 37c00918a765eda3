/**
 * What a pod has before its containers: address, network, sidecar, volumes. Made and removed as a whole.
 *
 *   Pod ─▶ makeNetwork ─▶ furnish (sidecar, policies, volumes) ─▶ containers …  removeSandbox undoes it
 *
 * Invariant: the record is on disk before anything is made, so that a successor can remove what an interrupted run
 * left, and says `furnished` only once everything is. The interception rules are there before the sidecar listens and
 * both before any container: nothing passes it by. Nor is there an instant before the policies that select the pod.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Container, Pod } from "#api/core/pod.ts";
import { sidecarStatusAnnotation } from "#api/core/pod.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import { controllerOf } from "#api/meta.ts";
import { parseMilli } from "#api/quantity.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import { messageOf } from "#lib/errors.ts";
import { amountOf } from "./downward.ts";
import { resolveEnvironment } from "./environment.ts";
import type { PodRecord } from "./pod-dirs.ts";
import { netnsPath, planPodNetwork, removePodNetwork } from "./pod-network.ts";
import type { References } from "./references.ts";
import type { ContainerSpec, ResourceLimits } from "./runtime.ts";
import type { VolumeSources } from "./volumes/payload.ts";
import { makeVolumes, planMounts, refreshVolumes } from "./volumes/volumes.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** How long its sidecar may take for what is in flight once the containers have ended, in ms. */
const sidecarDrainMs = 1000;
/** Waits between attempts to remove a network, in ms; doubling. */
const removalRetryMinMs = 500;
const removalRetryMaxMs = 30_000;

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

/**
 * What needs the network: the sidecar, which listens when this resolves, the policies, which judge by then, and the
 * volumes. Can be repeated.
 */
export async function furnish(pod: Pod, podIP: string, deps: WorkerDependencies): Promise<void> {
  const { dirs, sidecars, policies, clock } = deps;
  const spec = sidecarSpec(pod, podIP);
  // None waits for another: all are there before any container.
  const made = makeVolumes(pod, dirs, volumeSources(deps), clock.nowMs());
  const listening = spec === undefined ? undefined : sidecars.add(spec);
  const admitted = policies.admit(pod, podIP);
  const [volumes, sidecar, policy] = await Promise.allSettled([made, listening, admitted]);
  if (sidecar.status === "rejected") throw sidecar.reason;
  if (policy.status === "rejected") throw policy.reason;
  if (volumes.status === "rejected") throw volumes.reason;
  dirs.write(recordOf(pod, podIP, true));
}

function recordOf(pod: Pod, podIP: string, furnished: boolean): PodRecord {
  const { namespace = "default", name, uid = "" } = pod.metadata;
  return { namespace, name, uid, podIP, hasSidecar: sidecarSpec(pod, podIP) !== undefined, furnished };
}

/** Brings the files of a running pod's volumes up to date. */
export async function refresh(pod: Pod, references: References, deps: WorkerDependencies): Promise<void> {
  const sources = { ...volumeSources(deps), references };
  const failures = await refreshVolumes(pod, deps.dirs, sources, deps.clock.nowMs());
  for (const message of failures) deps.recorder.record(pod, "Warning", "FailedMount", message);
}

function volumeSources({ references, tokens, allocatable }: WorkerDependencies): VolumeSources {
  return { references, tokens, allocatable };
}

/** Removes everything of a pod from the node; resolves once its network is gone, however often that takes. */
export async function removeSandbox(pod: Pod, deps: WorkerDependencies): Promise<void> {
  const { uid = "" } = pod.metadata;
  if (deps.dirs.read(uid)?.finished !== true) await releaseSandbox(pod, deps);
  deps.runtime.remove(uid);
  deps.dirs.remove(uid);
}

/**
 * Gives back what a pod that has ended needs no more: sidecar, network, address, volumes. What is known of its
 * containers stays, with their logs, until its object goes.
 */
export async function finishSandbox(pod: Pod, deps: WorkerDependencies): Promise<void> {
  const { uid = "" } = pod.metadata;
  const record = deps.dirs.read(uid);
  await releaseSandbox(pod, deps);
  rmSync(deps.dirs.volumesDir(uid), { recursive: true, force: true });
  if (record !== undefined) deps.dirs.write({ ...record, finished: true });
}

/** The address is given back only when nothing answers for it any more: else two pods could have it. */
async function releaseSandbox(pod: Pod, deps: WorkerDependencies): Promise<void> {
  const { sidecars, dirs, tokens, addresses, log } = deps;
  const { name, uid = "" } = pod.metadata;
  const record = dirs.read(uid);
  try {
    if (record?.hasSidecar === true) await sidecars.remove(uid, sidecarDrainMs);
  } catch (error) {
    log.warn("Pod's sidecar cannot be removed", { pod: name, error: messageOf(error) });
  }
  if (record !== undefined) await removeNetwork(pod, record, deps);
  tokens.forget(uid);
  deps.policies.release(uid);
  addresses.release(uid);
}

async function removeNetwork(pod: Pod, { uid, podIP }: PodRecord, deps: WorkerDependencies): Promise<void> {
  const { runScript, clock, log } = deps;
  for (let delayMs = removalRetryMinMs; ; delayMs = Math.min(delayMs * 2, removalRetryMaxMs)) {
    try {
      return await runScript(removePodNetwork({ podUid: uid, podIP }));
    } catch (error) {
      log.warn("Pod's network cannot be removed yet", { pod: pod.metadata.name, error: messageOf(error), delayMs });
      await clock.sleep(delayMs);
    }
  }
}

/** What the runtime needs to start a container. Throws KubeletError with what is missing. */
export async function containerSpec(
  pod: Pod,
  container: Container,
  { podIP, attempt, image }: { podIP: string; attempt: number; image: ImageMapEntry },
  deps: WorkerDependencies,
): Promise<ContainerSpec> {
  const { references, dirs, nodeName, hostIP, nameserver, nodeBinary, allocatable, api } = deps;
  const { namespace = "default", name, uid = "" } = pod.metadata;
  const facts = { podIP, hostIP, nodeName, allocatable };
  const { env, command } = await resolveEnvironment(pod, container, image, { references, facts, api });
  const { hostname = name.slice(0, 63), subdomain, hostAliases = [] } = pod.spec;
  return {
    podUid: uid,
    name: container.name,
    attempt,
    command,
    env,
    netnsPath: netnsPath(uid),
    terminationMessage: {
      path: join("/", container.terminationMessagePath ?? "/dev/termination-log"),
      fallbackToLogs: container.terminationMessagePolicy === "FallbackToLogsOnError",
    },
    limits: limitsOf(container),
    root: {
      hostname,
      domain: subdomain === undefined ? undefined : `${subdomain}.${namespace}.svc.cluster.local`,
      hostAliases,
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

/** What a container may use; undefined when it neither asks nor is limited. */
export function limitsOf({ resources }: Container): ResourceLimits | undefined {
  const milliCPU = parseMilli(resources?.limits?.["cpu"] ?? "");
  const milliCPURequest = parseMilli(resources?.requests?.["cpu"] ?? "");
  const memory = amountOf(resources?.limits?.["memory"]);
  if (milliCPU === undefined && milliCPURequest === undefined && memory === undefined) return undefined;
  return {
    ...(milliCPU === undefined ? {} : { milliCPU }),
    ...(milliCPURequest === undefined ? {} : { milliCPURequest }),
    ...(memory === undefined ? {} : { memory }),
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
