/**
 * One declarative description a kind: what the API server, and nobody else, needs to serve it.
 *
 *   api/core/pod.ts, … ─▶ Kind ─▶ scheme.ts (registry) ─▶ read.ts ─▶ control/apiserver
 *
 * A `Kind` is a `KindRef`, so that clients use the same constant.
 */
import type { KindRef } from "../kind.ts";
import type { KubeObject, LabelSelector } from "../meta.ts";
import type { FieldError } from "./field-error.ts";
import {
  bool,
  free,
  int,
  list,
  type ListSchema,
  map,
  type MapSchema,
  object,
  type ObjectSchema,
  oneOf,
  quantity,
  string,
  time,
} from "./schema.ts";

/** Reads the text of a field. A method, so that a selector of pods is usable where any object's is wanted. */
interface FieldReader<T> {
  read(object: T): string;
}

export interface Kind<T extends KubeObject = KubeObject> extends KindRef<T> {
  /** The fields beside apiVersion, kind and metadata. */
  readonly schema: ObjectSchema;
  /** What names may be. */
  readonly nameFormat: "dnsSubdomain" | "dnsLabel" | "dns1035Label";
  /** Whether the kind has the scale subresource: `spec.replicas`, `status.replicas` and `spec.selector`. */
  readonly hasScale?: boolean;
  /** `all`: listed by `kubectl get all`. */
  readonly categories?: readonly string[];
  /** Paths below the object that never change: `["spec", "selector"]`. */
  readonly immutable?: readonly (readonly string[])[];
  /** Field selectors beside metadata.name and metadata.namespace, with the text they compare. */
  readonly fieldSelectors?: Readonly<Record<string, FieldReader<T>["read"]>>;
  // Methods, not properties, from here: a Kind<Pod> must be usable where any Kind is.
  /** Defaults that depend on other fields. Pure; runs after the schema's own. */
  default?(object: T): T;
  /** Rules across fields. Pure; runs after the schema found no errors. */
  validate?(object: T): readonly FieldError[];
  /** What is accepted and does less than it says, as sentences. Pure; of objects that may not be valid yet. */
  warnings?(object: T): readonly string[];
  /** Rules between an object and what it replaces, beside `immutable`. Pure. */
  validateUpdate?(next: T, previous: T): readonly FieldError[];
}

/** Whether the kind has the status subresource. */
export function hasStatus(kind: Kind): boolean {
  return kind.schema.fields["status"] !== undefined;
}

/** Labels, and selectors that are plain labels. */
export const labelsSchema: MapSchema = map(string({ format: "labelValue" }), {
  keyFormat: "qualifiedName",
  flat: true,
});

const wholes = new WeakMap<Kind, ObjectSchema>();

/** The schema of whole objects of a kind: with apiVersion, kind and metadata. */
export function wholeSchema(kind: Kind): ObjectSchema {
  const known = wholes.get(kind);
  if (known !== undefined) return known;
  const whole = object({ apiVersion: string(), kind: string(), metadata: metaSchema, ...kind.schema.fields });
  wholes.set(kind, whole);
  return whole;
}

const metaFields = {
  name: string(),
  generateName: string(),
  namespace: string({ format: "dnsLabel" }),
  uid: string(),
  resourceVersion: string(),
  generation: int(),
  creationTimestamp: time(),
  deletionTimestamp: time(),
  deletionGracePeriodSeconds: int(),
  labels: labelsSchema,
  annotations: map(string(), { keyFormat: "qualifiedName", flat: true }),
  ownerReferences: list(
    object({
      apiVersion: string({ required: true }),
      kind: string({ required: true }),
      name: string({ required: true }),
      uid: string({ required: true }),
      controller: bool(),
      blockOwnerDeletion: bool(),
    }),
    { keys: ["uid"], patchMergeKey: "uid" },
  ),
  finalizers: list(string({ format: "qualifiedName" }), { patchStrategy: "merge" }),
  // Dropped when stored: fields are not tracked by manager.
  managedFields: free(),
  selfLink: string(),
};

/** Metadata of any object. */
export const metaSchema: ObjectSchema = object(metaFields);

/** Metadata of a pod template. */
export const templateMetaSchema: ObjectSchema = object(metaFields);

/** A label selector as specs have it. */
export function labelSelector(options: { readonly required?: boolean } = {}): ObjectSchema {
  return object(
    {
      matchLabels: labelsSchema,
      matchExpressions: list(
        object({
          key: string({ required: true, format: "qualifiedName" }),
          operator: oneOf(["In", "NotIn", "Exists", "DoesNotExist"], { required: true }),
          values: list(string({ format: "labelValue" })),
        }),
      ),
    },
    options,
  );
}

/** Whether a selector selects by nothing, which workloads may not do. */
export function isEmptySelector(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0;
}

/** Conditions as every status has them. */
export const conditionsSchema: ListSchema = list(
  object({
    type: string({ required: true }),
    status: oneOf(["True", "False", "Unknown"], { required: true }),
    reason: string(),
    message: string(),
    observedGeneration: int(),
    lastTransitionTime: time(),
    lastUpdateTime: time(),
    lastProbeTime: time(),
    lastHeartbeatTime: time(),
  }),
  { keys: ["type"], patchMergeKey: "type" },
);

/** Amounts by resource name: requests, limits, capacity. */
export const resourceListSchema: MapSchema = map(quantity(), { keyFormat: "qualifiedName" });
