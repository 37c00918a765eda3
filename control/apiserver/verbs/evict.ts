/**
 * Eviction: deletes a pod if its PodDisruptionBudget allows, else 429, and the client tries again.
 *
 *   kubectl drain ─▶ POST pods/NAME/eviction ─▶ take one of disruptionsAllowed ─▶ condition DisruptionTarget ─▶ DELETE
 *
 * Taking is a compare-and-swap on the budget's status, so two evictions never share one allowance.
 * Follows: k8s.io/kubernetes pkg/registry/core/pod/storage/eviction.go.
 */
import type { DeleteOptions } from "#api/client/client.ts";
import { isPodFinished, isPodReady, type Pod, pods } from "#api/core/pod.ts";
import { formatTime, type KubeObject } from "#api/meta.ts";
import type { Eviction } from "#api/policy/eviction.ts";
import { type PodDisruptionBudget, podDisruptionBudgets } from "#api/policy/poddisruptionbudget.ts";
import { matchesSelector } from "#api/selector.ts";
import { StatusError } from "#api/status.ts";
import { modify, mustGet, type ObjectRequest, type Registry } from "../registry.ts";
import { checkPreconditions, remove } from "./delete.ts";

/** Most evictions of one budget that were allowed and are not done. kube-apiserver's MaxDisruptedPodSize. */
const disruptedMax = 2000;

type BudgetStatus = NonNullable<PodDisruptionBudget["status"]>;

/** Evicts the pod of `request`. Throws TooManyRequests when its budget does not allow it. */
export async function evict(registry: Registry, request: ObjectRequest, body: unknown): Promise<void> {
  const { options, isDryRun } = readEviction(body, request.key.name);
  const asked = isDryRun ? { ...request, isDryRun } : request;
  const pod = mustGet(registry, pods, request.key) as Pod;
  checkPreconditions(pods, pod, options);
  if (isCounted(pod)) await takeAllowance(registry, asked, pod);
  if (isCounted(pod)) await mark(registry, asked);
  await remove(registry, asked, options);
}

/** Whether a budget has a say: not for what has ended, has not begun, or goes already. */
function isCounted(pod: Pod): boolean {
  return !isPodFinished(pod) && pod.status?.phase !== "Pending" && pod.metadata.deletionTimestamp === undefined;
}

async function takeAllowance(registry: Registry, request: ObjectRequest, pod: Pod): Promise<void> {
  const { namespace = "" } = request.key;
  const all = registry.cache.list<PodDisruptionBudget>(podDisruptionBudgets, namespace);
  const [budget, ...more] = all.filter(
    ({ spec }) => spec?.selector !== undefined && matchesSelector(spec.selector, pod.metadata.labels),
  );
  if (budget === undefined) return;
  if (more.length > 0)
    throw new StatusError(
      "InternalError",
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  if (!isPodReady(pod) && isFree(budget)) return;
  const key = { namespace, name: budget.metadata.name };
  await modify(
    registry,
    { ...request, kind: podDisruptionBudgets, key },
    (current) =>
      ({
        ...current,
        status: taken(current, pod.metadata.name, formatTime(registry.clock.nowMs())),
      }) as KubeObject,
  );
}

/** Whether pods that are not ready may go anyway: they do not count as healthy, so nothing is lost. */
function isFree({ spec, status = {} }: PodDisruptionBudget): boolean {
  if (spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = status;
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

/** The budget's status with one allowance less. Throws TooManyRequests. */
function taken({ metadata, status = {} }: PodDisruptionBudget, podName: string, now: string): BudgetStatus {
  const { observedGeneration = 0, disruptionsAllowed = 0, disruptedPods = {} } = status;
  if (observedGeneration < (metadata.generation ?? 0))
    throw refused(`The disruption budget ${metadata.name} is still being processed by the server.`, 10);
  if (Object.keys(disruptedPods).length > disruptedMax)
    throw new StatusError(
      "Forbidden",
      "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
    );
  if (disruptionsAllowed === 0) {
    const { desiredHealthy = 0, currentHealthy = 0 } = status;
    throw refused(
      `The disruption budget ${metadata.name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
    );
  }
  return { ...status, disruptionsAllowed: disruptionsAllowed - 1, disruptedPods: { ...disruptedPods, [podName]: now } };
}

function refused(why: string, retryAfterSeconds?: number): StatusError {
  const causes = [{ reason: "DisruptionBudget" as const, field: "", message: why }];
  return new StatusError("TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

async function mark(registry: Registry, request: ObjectRequest): Promise<void> {
  const lastTransitionTime = formatTime(registry.clock.nowMs());
  const target = { type: "DisruptionTarget", status: "True", lastTransitionTime } as const;
  const why = { reason: "EvictionByEvictionAPI", message: "Eviction API: evicting" };
  await modify(registry, request, (current) => {
    const { status, ...pod } = current as Pod;
    const others = (status?.conditions ?? []).filter(({ type }) => type !== target.type);
    return { ...pod, status: { ...status, conditions: [...others, { ...target, ...why }] } } as Pod;
  });
}

function readEviction(body: unknown, name: string): { readonly options: DeleteOptions; readonly isDryRun: boolean } {
  const sent = body as Partial<Eviction> | null | undefined;
  if (typeof sent !== "object" || sent?.kind !== "Eviction" || sent.apiVersion !== "policy/v1")
    throw new StatusError("BadRequest", "Cannot read Eviction: wanted apiVersion policy/v1 and kind Eviction");
  const named = sent.metadata?.name ?? "";
  if (named !== "" && named !== name)
    throw new StatusError("BadRequest", "name in URL does not match name in Eviction object");
  const { deleteOptions: options = {} } = sent;
  if (typeof options !== "object" || options === null)
    throw new StatusError("BadRequest", "Cannot read Eviction: deleteOptions: wanted an object");
  const { gracePeriodSeconds: seconds, preconditions, dryRun = [] } = options;
  if (seconds !== undefined && seconds !== null && !Number.isInteger(seconds))
    throw new StatusError(
      "BadRequest",
      "Cannot read Eviction: deleteOptions.gracePeriodSeconds: wanted a whole number",
    );
  return {
    options: {
      ...(typeof seconds === "number" ? { gracePeriodSeconds: seconds } : {}),
      ...(typeof preconditions === "object" && preconditions !== null ? { preconditions } : {}),
    },
    isDryRun: Array.isArray(dryRun) && dryRun.includes("All"),
  };
}
