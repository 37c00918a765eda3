/**
 * Answers as tables: what `kubectl get` shows; and as bare metadata, what metadata informers watch.
 *
 *   Answer of a verb ─▶ presentObject(), presentEvent() ─▶ Table, PartialObjectMetadata(List)
 *
 * Pure. Follows: k8s.io/apimachinery meta/v1 Table and k8s.io/apiserver pkg/endpoints/handlers/response.go.
 */
import type { WatchEvent } from "#api/client/client.ts";
import type { KubeList, KubeObject } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { StatusError } from "#api/status.ts";
import type { Form } from "../accept.ts";
import { printerOf } from "./printers.ts";

/** What a row carries beside its cells. */
export type IncludeObject = "None" | "Metadata" | "Object";

export interface Presentation {
  readonly form: Form;
  readonly kind: Kind;
  readonly includeObject: IncludeObject;
  readonly nowMs: number;
}

/** The query parameter `includeObject`. Throws BadRequest. */
export function parseIncludeObject(text: string | null): IncludeObject {
  if (text === null || text === "") return "Metadata";
  if (text === "None" || text === "Metadata" || text === "Object") return text;
  throw new StatusError(
    "BadRequest",
    `includeObject: got ${JSON.stringify(text.slice(0, 60))}, wanted Metadata, Object or None`,
  );
}

/** An object or list of the kind in the form that the client asked for. */
export function presentObject(presentation: Presentation, body: KubeObject | KubeList): unknown {
  switch (presentation.form) {
    case "plain":
      return body;
    case "partial":
      if (!isList(body)) return partialOf(body);
      return {
        kind: "PartialObjectMetadataList",
        apiVersion: "meta.k8s.io/v1",
        metadata: body.metadata,
        items: body.items.map(partialOf),
      };
    case "table/v1":
    case "table/v1beta1": {
      const { resourceVersion } = body.metadata;
      const metadata = isList(body) ? body.metadata : { resourceVersion };
      return tableOf(presentation, metadata, isList(body) ? body.items : [body]);
    }
  }
}

/** An event of a watch in that form. */
export function presentEvent(presentation: Presentation, event: WatchEvent): unknown {
  if (event.type === "ERROR" || presentation.form === "plain") return event.object;
  if (presentation.form === "partial") return partialOf(event.object);
  // A bookmark says a revision, and shows nothing.
  if (event.type === "BOOKMARK") return tableOf(presentation, event.object.metadata, []);
  return presentObject(presentation, event.object);
}

function tableOf(
  { form, kind, includeObject, nowMs }: Presentation,
  metadata: unknown,
  objects: readonly KubeObject[],
): unknown {
  const printer = printerOf(kind);
  return {
    kind: "Table",
    apiVersion: form === "table/v1" ? "meta.k8s.io/v1" : "meta.k8s.io/v1beta1",
    metadata,
    columnDefinitions: printer.columns,
    rows: objects.map((object) => ({
      cells: printer.cells(object, nowMs),
      ...(includeObject === "None" ? {} : { object: includeObject === "Object" ? object : partialOf(object) }),
    })),
  };
}

function partialOf({ metadata }: KubeObject): unknown {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
}

function isList(body: KubeObject | KubeList): body is KubeList {
  return "items" in body;
}
