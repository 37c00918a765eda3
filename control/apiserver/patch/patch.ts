/**
 * A patch of any of the three formats, as one function from the current value to the patched one.
 *
 *   Content-Type, body ─▶ parsePatch() ─▶ Patch ─▶ verbs/patch.ts, verbs/scale.ts
 */
import type { Schema } from "#api/schema/schema.ts";
import { StatusError } from "#api/status.ts";
import { applyJSONPatch, parseJSONPatch } from "./json-patch.ts";
import { mergePatch } from "./merge-patch.ts";
import { strategicMerge } from "./strategic.ts";

/** Gives the patched value. Pure. Throws StatusError. */
export type Patch = (current: unknown) => unknown;

export const patchTypes = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
} as const;

/** The patch in a body. `schema` says how lists merge in a strategic one. Throws BadRequest, UnsupportedMediaType. */
export function parsePatch(contentType: string, body: unknown, schema: Schema): Patch {
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type === patchTypes.json) {
    const operations = parseJSONPatch(body);
    return (current) => applyJSONPatch(current, operations);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new StatusError("BadRequest", "Cannot read the patch: wanted a JSON object");
  if (type === patchTypes.merge) return (current) => mergePatch(current, body);
  if (type === patchTypes.strategic)
    return (current) => strategicMerge(schema, current, body as Record<string, unknown>);
  throw new StatusError("UnsupportedMediaType", `Cannot read the patch: got media type ${JSON.stringify(type)}`);
}
