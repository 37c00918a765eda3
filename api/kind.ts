/**
 * A reference to a kind: enough to build its paths and to type what comes back.
 * Each file under api/core, api/apps, … exports one for its kind, beside the object's type.
 */
import type { KubeObject } from "./meta.ts";

export interface KindRef<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Lower-case plural, as in paths: `pods`. */
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** Never set: carries the object's type. */
  readonly object?: T;
}

/** `v1`, or `apps/v1`. */
export function apiVersionOf(kind: KindRef): string {
  return kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
}

/** The collection's path: `/api/v1/namespaces/default/pods`, `/apis/apps/v1/deployments`, … */
export function collectionPath(kind: KindRef, namespace?: string): string {
  const root = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const scope = kind.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${scope}/${kind.plural}`;
}
