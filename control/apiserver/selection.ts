/**
 * Which objects a list, watch or deletecollection means, and at which resourceVersion: its query, read and checked.
 *
 *   query parameters, KubeClient options ─▶ parseSelection() ─▶ predicate;  parseRevision() ─▶ rules of api-concepts
 */
import type { KindRef } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { matchesLabels, parseFieldSelector, parseLabelSelector } from "#api/selector.ts";
import { StatusError } from "#api/status.ts";

export interface SelectionQuery {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** The predicate of a label and a field selector; undefined when there is neither. Throws BadRequest. */
export function parseSelection(kind: Kind, query: SelectionQuery): ((object: KubeObject) => boolean) | undefined {
  const { labelSelector = "", fieldSelector = "" } = query;
  if (labelSelector === "" && fieldSelector === "") return undefined;
  const labels = parseLabelSelector(labelSelector);
  const fields = parseFieldSelector(fieldSelector).map(({ field, equal, value }) => {
    const read = fieldReader(kind, field);
    return (object: KubeObject): boolean => (read(object) === value) === equal;
  });
  return (object) =>
    matchesLabels(labels, object.metadata.labels) && fields.every((matchesField) => matchesField(object));
}

function fieldReader(kind: Kind, field: string): (object: KubeObject) => string {
  if (field === "metadata.name") return (object) => object.metadata.name;
  if (field === "metadata.namespace") return (object) => object.metadata.namespace ?? "";
  const known = kind.fieldSelectors ?? {};
  const reader = Object.hasOwn(known, field) ? known[field] : undefined;
  if (reader === undefined) throw new StatusError("BadRequest", `field label not supported: ${field}`);
  return reader;
}

/** A resourceVersion of a request: undefined and "0" mean "any"; Throws BadRequest for anything but a whole number. */
export function parseRevision(text: string | undefined): number | undefined {
  if (text === undefined || text === "" || text === "0") return undefined;
  if (!/^[0-9]{1,15}$/.test(text))
    throw new StatusError(
      "BadRequest",
      `Cannot read resourceVersion ${JSON.stringify(text)}: wanted one that the server gave`,
    );
  return Number(text);
}

export interface RevisionQuery {
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
  readonly continue?: string | undefined;
  readonly sendInitialEvents?: string | undefined;
}

/** The revision at which a list is to be exactly; undefined: the newest will do. Throws Invalid, Timeout. */
export function checkListRevision(kind: KindRef, query: RevisionQuery, newest: number): number | undefined {
  const { resourceVersion = "", resourceVersionMatch: match = "", continue: token = "" } = query;
  if (query.sendInitialEvents !== undefined)
    throw invalid("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list");
  if (token !== "" && match !== "")
    throw invalid("resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for continue");
  if (token !== "" && resourceVersion !== "" && resourceVersion !== "0")
    throw new StatusError("BadRequest", "specifying resource version is not allowed when using continue");
  if (match !== "" && match !== "Exact" && match !== "NotOlderThan")
    throw invalid(`resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}`);
  if (match !== "" && resourceVersion === "")
    throw invalid(
      "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
    );
  if (match === "Exact" && resourceVersion === "0")
    throw invalid('resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  const revision = parseRevision(resourceVersion);
  if (revision === undefined) return undefined;
  if (revision > newest)
    throw new StatusError("Timeout", `Too large resource version: ${revision}, current: ${newest}`, {
      kind: kind.plural,
      retryAfterSeconds: 1,
    });
  return match === "Exact" ? revision : undefined;
}

/** 422 about the query of a list or watch. */
export function invalid(problem: string): StatusError {
  return new StatusError("Invalid", `ListOptions.meta.k8s.io "" is invalid: ${problem}`);
}
