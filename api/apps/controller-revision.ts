/**
 * ControllerRevision: one past state of a DaemonSet or StatefulSet, as the patch that brings it back.
 *
 *   control/controllers/daemonset ─▶ ControllerRevision ─▶ kubectl rollout history, undo
 *
 * Invariant: `data` never changes; going back to an old state only raises the `revision` of what has it.
 */
import type { KubeObject } from "../meta.ts";
import type { Kind } from "../schema/kind.ts";
import { free, int } from "../schema/schema.ts";

export interface ControllerRevision extends KubeObject {
  /** Strategic merge patch of the owner. */
  readonly data?: unknown;
  /** Grows with each change of the owner; the highest is the present state. */
  readonly revision: number;
}

export const controllerRevisions: Kind<ControllerRevision> = {
  group: "apps",
  version: "v1",
  kind: "ControllerRevision",
  plural: "controllerrevisions",
  singular: "controllerrevision",
  shortNames: [],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: { type: "object", fields: { data: free(), revision: int({ default: 0 }) } },
  immutable: [["data"]],
};
