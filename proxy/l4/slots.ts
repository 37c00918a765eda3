/**
 * Which endpoint has which slot: a change of few endpoints is a change of few slots. Pure.
 */
import type { Target } from "./categories.ts";

/**
 * `targets`, in an order as close to `before` as can be: who stays keeps its slot, what is new takes those that became
 * free, and where there are fewer the last ones move into the gaps.
 */
export function keepOrder(before: readonly Target[], targets: readonly Target[]): readonly Target[] {
  if (before.length === 0) return targets;
  const wanted = new Map(targets.map((target) => [keyOf(target), target]));
  const slots: (Target | undefined)[] = [];
  const homeless: Target[] = [];
  for (const [index, target] of before.entries()) {
    const known = wanted.get(keyOf(target));
    if (known === undefined) continue;
    wanted.delete(keyOf(target));
    if (index < targets.length) slots[index] = known;
    else homeless.push(known);
  }
  homeless.push(...wanted.values());
  return Array.from({ length: targets.length }, (_, index) => slots[index] ?? homeless.shift()).flatMap(
    (target) => target ?? [],
  );
}

function keyOf({ address, port }: Target): string {
  return `${address} ${port}`;
}
