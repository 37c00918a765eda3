/** Event: something that happened to an object, told to people. */
import type { KubeObject } from "../meta.ts";
import { type FieldError, invalidValue } from "../schema/field-error.ts";
import type { Kind } from "../schema/kind.ts";
import { int, object, objectReference, string, time } from "../schema/schema.ts";
import type { ObjectReference } from "./object-reference.ts";

export interface Event extends KubeObject {
  readonly involvedObject: ObjectReference;
  readonly reason?: string;
  readonly message?: string;
  readonly source?: { readonly component?: string; readonly host?: string };
  readonly firstTimestamp?: string | null;
  readonly lastTimestamp?: string | null;
  readonly count?: number;
  readonly type?: string;
  readonly eventTime?: string | null;
  readonly series?: { readonly count?: number; readonly lastObservedTime?: string };
  readonly action?: string;
  readonly related?: ObjectReference;
  readonly reportingComponent?: string;
  readonly reportingInstance?: string;
}

export const events: Kind<Event> = {
  group: "",
  version: "v1",
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    involvedObject: objectReference({ required: true }),
    reason: string(),
    message: string(),
    source: object({ component: string(), host: string() }, { default: {} }),
    firstTimestamp: time(),
    lastTimestamp: time(),
    count: int(),
    type: string(),
    eventTime: time(),
    series: object({ count: int(), lastObservedTime: time() }),
    action: string(),
    related: objectReference(),
    reportingComponent: string({ default: "" }),
    reportingInstance: string({ default: "" }),
  }),
  fieldSelectors: {
    "involvedObject.kind": (event) => event.involvedObject.kind ?? "",
    "involvedObject.namespace": (event) => event.involvedObject.namespace ?? "",
    "involvedObject.name": (event) => event.involvedObject.name ?? "",
    "involvedObject.uid": (event) => event.involvedObject.uid ?? "",
    "involvedObject.apiVersion": (event) => event.involvedObject.apiVersion ?? "",
    "involvedObject.resourceVersion": (event) => event.involvedObject.resourceVersion ?? "",
    "involvedObject.fieldPath": (event) => event.involvedObject.fieldPath ?? "",
    reason: (event) => event.reason ?? "",
    reportingComponent: (event) => event.reportingComponent ?? "",
    source: (event) => event.source?.component || (event.reportingComponent ?? ""),
    type: (event) => event.type ?? "",
  },
  validate: namespaceErrors,
};

/** An event is in the namespace of what it is about; those about cluster-scoped objects are in `default`. */
function namespaceErrors({ metadata, involvedObject }: Event): FieldError[] {
  const { namespace = "" } = involvedObject;
  const isRight = namespace === "" ? metadata.namespace === "default" : namespace === metadata.namespace;
  return isRight ? [] : [invalidValue("involvedObject.namespace", namespace, "does not match event.namespace")];
}
