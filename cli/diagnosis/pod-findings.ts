/**
 * What is wrong with pods. Pure.
 *
 *   Pod, its Warning events, now ─▶ findingsOfPod() ─▶ Finding[]
 *
 * One pod gives at most one finding a container and one for itself: the cause, not its consequences.
 */
import type { Event } from "#api/core/event.ts";
import { type ContainerStatus, type Pod, isPodReady } from "#api/core/pod.ts";
import { controllerOf } from "#api/meta.ts";
import { kubeletMessages } from "../../kubelet/messages.ts";
import { type Finding, type FindingCode, count, find } from "./finding.ts";

/** Reasons of waiting containers, and what each is. Those that come and go with every start are not here. */
const waiting: Readonly<Record<string, FindingCode>> = {
  ErrImagePull: "ImageUnknown",
  ImagePullBackOff: "ImageUnknown",
  InvalidImageName: "ImageUnknown",
  CreateContainerConfigError: "ReferenceMissing",
  CreateContainerError: "ContainerWaits",
  RunContainerError: "CommandBroken",
  CrashLoopBackOff: "CrashLoop",
};

/** Exit codes by which a shell says that the command is not there, or no program (POSIX, 2.8.2). */
const commandStatuses: readonly number[] = [126, 127];

/** Time for a pod to be started, or for a probe to succeed, before it is said to be late, in ms. */
const patienceMs = 30_000;

/** How long a container that ran out of memory and runs again is worth a word, in ms. */
const recentMs = 600_000;

/** What is wrong with one pod. `events` are Warnings about it, oldest first. */
export function findingsOfPod(pod: Pod, events: readonly Event[], nowMs: number): Finding[] {
  const { name, namespace = "default", deletionTimestamp } = pod.metadata;
  const make: Make = (code, detail, hint) => find(code, { kind: "pod", name, namespace }, detail, hint);
  if (deletionTimestamp !== undefined) {
    const lateMs = nowMs - Date.parse(deletionTimestamp);
    return lateMs > patienceMs ? [make("DeletionHangs", `${Math.round(lateMs / 1000)} s too long`)] : [];
  }
  const { phase, conditions = [], reason, message } = pod.status ?? {};
  if (phase === "Succeeded") return [];
  if (phase === "Failed") return isOfJob(pod) ? [] : [make("PodFailed", failureOf(pod, reason, message))];
  const scheduled = conditions.find(({ type }) => type === "PodScheduled");
  if (scheduled?.status === "False") return [make("PodUnschedulable", scheduled.message ?? scheduled.reason ?? "")];
  const found = statusesOf(pod).flatMap((status) => findingOfContainer(pod, status, { make, nowMs }) ?? []);
  if (found.length > 0 || isPodReady(pod)) return found;
  return lateness(pod, events, nowMs, make);
}

type Make = (code: FindingCode, detail: string, hint?: string) => Finding;

function findingOfContainer(
  pod: Pod,
  { name, state, lastState, restartCount }: ContainerStatus,
  { make, nowMs }: { readonly make: Make; readonly nowMs: number },
): Finding | undefined {
  const last = state.terminated ?? lastState.terminated;
  const reason = state.waiting?.reason ?? "";
  const isDown = state.running === undefined;
  if (last?.reason === "OOMKilled") {
    const what = `container ${name}, ${count(restartCount, "restart")}`;
    if (isDown) return make("OutOfMemory", what);
    return nowMs - Date.parse(last.finishedAt ?? "") < recentMs ? make("WasOutOfMemory", what) : undefined;
  }
  const code = waiting[reason];
  if (code === undefined) return undefined;
  const { message = "" } = state.waiting ?? {};
  if (code === "CrashLoop" && last !== undefined) {
    const what = `container ${name} ended with ${last.exitCode}, ${count(restartCount, "restart")}`;
    const words = last.message?.trim().split("\n").at(-1) ?? "";
    const isMissing = commandStatuses.includes(last.exitCode);
    const detail = words === "" ? what : `${what}: ${words.slice(0, 200)}`;
    return isMissing ? make("CommandBroken", detail, commandHint(pod, name)) : make(code, detail, logsHint(pod, name));
  }
  return make(code, `container ${name}: ${message === "" ? kubeletMeaning(reason) : message}`);
}

/** Of a pod with several containers the right one has to be named. */
function logsHint({ spec }: Pod, container: string): string | undefined {
  const several = spec.containers.length + (spec.initContainers ?? []).length > 1;
  return several ? `see its last words: wherry logs NAME -n NS -c ${container}` : undefined;
}

function commandHint({ spec }: Pod, container: string): string | undefined {
  const own = [...(spec.initContainers ?? []), ...spec.containers].find(({ name }) => name === container);
  if (own === undefined || own.command !== undefined) return undefined;
  return `the image map gives the command of ${own.image ?? "its image"}: correct it, then: wherry down; wherry up --images FILE`;
}

function kubeletMeaning(reason: string): string {
  return Object.hasOwn(kubeletMessages, reason)
    ? kubeletMessages[reason as keyof typeof kubeletMessages].sentence
    : reason;
}

/** A pod that is not ready though no container says why: what its events say, or that it takes long. */
function lateness(pod: Pod, events: readonly Event[], nowMs: number, make: Make): Finding[] {
  const statuses = statusesOf(pod);
  const isRunning = statuses.length > 0 && statuses.every(({ state }) => state.running !== undefined);
  const event = events.findLast(({ reason = "" }) =>
    isRunning ? reason === "Unhealthy" : reason === "FailedMount" || reason === "FailedCreatePodSandBox",
  );
  if (event !== undefined) {
    const code = isRunning ? "NotReady" : event.reason === "FailedMount" ? "ReferenceMissing" : "ContainerWaits";
    return [make(code, event.message ?? "")];
  }
  const sinceMs = nowMs - Date.parse(pod.status?.startTime ?? pod.metadata.creationTimestamp ?? "");
  if (sinceMs < patienceMs || Number.isNaN(sinceMs)) return [];
  return [make(isRunning ? "NotReady" : "PodPending", `for ${Math.round(sinceMs / 1000)} s`)];
}

function statusesOf({ status }: Pod): readonly ContainerStatus[] {
  const { initContainerStatuses = [], containerStatuses = [] } = status ?? {};
  // Init containers that are done are history.
  const initializing = initContainerStatuses.filter(({ state }) => state.terminated?.exitCode !== 0);
  return [...initializing, ...containerStatuses];
}

/** The Job itself says whether it failed: its pods may fail and be tried again. */
function isOfJob(pod: Pod): boolean {
  return controllerOf(pod)?.kind === "Job";
}

function failureOf(pod: Pod, reason = "", message = ""): string {
  if (reason !== "" || message !== "") return [reason, message].filter((part) => part !== "").join(": ");
  const failed = statusesOf(pod).find(({ state }) => (state.terminated?.exitCode ?? 0) !== 0);
  const { exitCode, reason: why = "Error" } = failed?.state.terminated ?? {};
  return failed === undefined ? "" : `container ${failed.name} ended with ${exitCode} (${why})`;
}
