/**
 * The indexes of an Indexed Job: which are done, written as `0-2,5`, and which pod has which. Pure.
 *
 * Follows: k8s.io/kubernetes pkg/controller/job/indexed_job_utils.go.
 */
import type { Pod } from "#api/core/pod.ts";

/** Annotation and label of a pod: its index, from 0. */
export const indexAnnotation = "batch.kubernetes.io/job-completion-index";

/** The index of a pod; undefined when it has none below `completions`. */
export function indexOf({ metadata }: Pod, completions: number): number | undefined {
  const text = metadata.annotations?.[indexAnnotation] ?? "";
  const index = /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : completions;
  return index < completions ? index : undefined;
}

/** Parses `0-2,5`; what is not below `completions` is left out, what cannot be read too. */
export function parseIndexes(text: string, completions: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(part);
    if (match === null) continue;
    const last = Math.min(Number(match[2] ?? match[1]), completions - 1);
    for (let index = Number(match[1]); index <= last; index += 1) indexes.add(index);
  }
  return indexes;
}

/** The text that `parseIndexes` reads back: runs of three and more as `first-last`. */
export function formatIndexes(indexes: Iterable<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let at = 0; at < sorted.length;) {
    const first = sorted[at] ?? 0;
    let length = 1;
    while (sorted[at + length] === first + length) length += 1;
    const last = first + length - 1;
    parts.push(length === 1 ? `${first}` : length === 2 ? `${first},${last}` : `${first}-${last}`);
    at += length;
  }
  return parts.join(",");
}

/** The first `count` indexes below `completions` that are in none of `taken`. */
export function firstFree(count: number, completions: number, taken: ReadonlySet<number>): number[] {
  const free: number[] = [];
  for (let index = 0; index < completions && free.length < count; index += 1) if (!taken.has(index)) free.push(index);
  return free;
}
