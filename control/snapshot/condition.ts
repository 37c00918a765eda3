/** Conditions of Gateway API objects: made anew each time, with the time of the last transition kept. Pure. */
import { formatTime, type Condition } from "#api/meta.ts";

export interface ConditionDraft {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  /** Empty when all is well. */
  readonly message?: string;
}

/** `drafts` as conditions; `lastTransitionTime` is that of the old condition while its status is the same. */
export function toConditions(
  drafts: readonly ConditionDraft[],
  old: readonly Condition[] | undefined,
  { generation = 1, nowMs }: { readonly generation?: number | undefined; readonly nowMs: number },
): readonly Condition[] {
  return drafts.map(({ type, status, reason, message = "" }) => {
    const text = status ? "True" : "False";
    const before = old?.find((condition) => condition.type === type);
    const kept = before?.status === text ? before.lastTransitionTime : undefined;
    return {
      type,
      status: text,
      reason,
      message,
      observedGeneration: generation,
      lastTransitionTime: kept ?? formatTime(nowMs),
    };
  });
}
