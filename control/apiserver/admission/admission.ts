/**
 * What an admission plugin is: a function from the object that a client sent to the object that is validated and
 * stored.
 *
 *   verbs/create.ts, verbs/update.ts ─▶ chain.ts ─▶ plugins, in order
 *
 * Plugins read the cache, change nothing there, and refuse by throwing StatusError.
 */
import type { KubeObject } from "#api/meta.ts";
import type { Registry, User } from "../registry.ts";
import type { Kind } from "#api/schema/kind.ts";

export interface AdmissionInput<T extends KubeObject = KubeObject> {
  readonly kind: Kind;
  readonly object: T;
  /** What it replaces; undefined: it is created. */
  readonly previous: T | undefined;
  readonly registry: Registry;
  /** Who writes it. */
  readonly user: User;
  /** Runs an action once the object is stored, or was refused: gives back what was reserved. */
  readonly settle: (action: () => void) => void;
}

export interface AdmissionPlugin {
  readonly name: string;
  /** `<group>/<plural>` of the kinds it concerns; undefined: all. */
  readonly resource: string | undefined;
  /** Whether it also sees updates. */
  readonly onUpdate: boolean;
  admit(input: AdmissionInput): KubeObject;
}
