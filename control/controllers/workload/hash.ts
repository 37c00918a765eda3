/**
 * Ten characters that stand for a pod template: what tells the generations of a workload's pods apart.
 *
 * Pure. Equal templates have equal hashes, in whatever order their fields were written.
 */
import { createHash } from "node:crypto";
import type { PodTemplateSpec } from "#api/core/pod.ts";

/** Kubernetes' safe alphabet: no vowels, so no words; nothing that looks alike. */
const letters = "bcdfghjklmnpqrstvwxz2456789";
const length = 10;

/** The hash of `template`; another one for each `collisionCount`, when the first clashed with somebody else's. */
export function templateHash(template: PodTemplateSpec, collisionCount = 0): string {
  const text = collisionCount === 0 ? canonical(template) : `${canonical(template)}#${collisionCount}`;
  const digest = createHash("sha256").update(text).digest();
  return Array.from({ length }, (_, at) => letters[(digest[at] ?? 0) % letters.length] ?? "x").join("");
}

/** JSON with sorted keys; null counts as absent. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined && field !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`);
  return `{${fields.join(",")}}`;
}
