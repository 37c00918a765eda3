/**
 * Conditions and statuses as the workload controllers write them.
 *
 * Pure. Follows: SetDeploymentCondition and its like in k8s.io/kubernetes pkg/controller.
 */
import { type Condition, type KubeObject, formatTime } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import type { MergePatch } from "#api/client/client.ts";

type Conditions = readonly Condition[];

/** What a condition says, without its times. */
export interface Verdict {
  readonly type: string;
  readonly status: Condition["status"];
  readonly reason: string;
  readonly message: string;
}

export function conditionOf(conditions: Conditions | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** Whether the condition is there and True. */
export function isTrue(conditions: Conditions | undefined, type: string): boolean {
  return conditionOf(conditions, type)?.status === "True";
}

/**
 * `conditions` with the verdict. The same status and reason change nothing; the same status keeps the time of
 * transition. `stamp` adds `lastUpdateTime`, as Deployments have it.
 */
export function withCondition(
  conditions: Conditions,
  verdict: Verdict,
  nowMs: number,
  options: { readonly stamp?: boolean } = {},
): Conditions {
  const before = conditionOf(conditions, verdict.type);
  if (before?.status === verdict.status && before.reason === verdict.reason) return conditions;
  const now = formatTime(nowMs);
  const lastTransitionTime = before?.status === verdict.status ? (before.lastTransitionTime ?? now) : now;
  const times = { ...(options.stamp === true ? { lastUpdateTime: now } : {}), lastTransitionTime };
  return [...withoutCondition(conditions, verdict.type), { ...verdict, ...times }];
}

export function withoutCondition(conditions: Conditions, type: string): Conditions {
  return conditions.filter((condition) => condition.type !== type);
}

/** The fields that are neither 0 nor an empty list: Go's `omitempty`. `kept` stay in any case. */
export function omitEmpty<T extends object>(fields: T, kept: readonly (keyof T)[] = []): T {
  const isSaid = ([name, value]: [string, unknown]): boolean =>
    kept.includes(name as keyof T) ||
    (value !== undefined && value !== 0 && value !== "" && !(Array.isArray(value) && value.length === 0));
  return Object.fromEntries(Object.entries(fields).filter(isSaid)) as T;
}

/** The merge patch that makes the status of `object` equal `next`; undefined when it is already. */
export function statusPatch(object: KubeObject & { readonly status?: object }, next: object): MergePatch | undefined {
  const before: object = object.status ?? {};
  return isEqual(before, next) ? undefined : { status: replacing(before, next) };
}

/** A merge patch leaves what it does not name: what is gone must be named, at every depth. */
function replacing(before: object, next: object): Record<string, unknown> {
  const old = before as Readonly<Record<string, unknown>>;
  const gone = Object.keys(before).filter((name) => !Object.hasOwn(next, name));
  const kept = Object.entries(next).map(([name, value]: [string, unknown]) => {
    const former = old[name];
    return [name, isObject(value) && isObject(former) ? replacing(former, value) : value];
  });
  return Object.fromEntries([...gone.map((name) => [name, null]), ...kept]) as Record<string, unknown>;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
