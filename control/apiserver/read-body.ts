/**
 * From a client's object to one that may be admitted: reads it by its kind and treats unknown fields as the request
 * asks.
 *
 *   verbs/create.ts, update.ts, patch.ts ─▶ readRequestObject() ─▶ api/schema/read.ts
 */
import type { KubeObject } from "#api/meta.ts";
import { readObject } from "#api/schema/read.ts";
import { StatusError } from "#api/status.ts";
import { duplicatesIn } from "./body.ts";
import type { ObjectRequest } from "./registry.ts";

/** The object in `body`, which is `sent`, or made from it. Throws BadRequest; warns about what is dropped or not honoured. */
export function readRequestObject(request: ObjectRequest, body: unknown, sent: unknown = body): KubeObject {
  const { object, unknown, unsupported } = readObject(request.kind, body);
  const sentences = [
    ...unknown.map((path) => `unknown field ${JSON.stringify(path)}`),
    ...duplicatesIn(sent).map((path) => `duplicate field ${JSON.stringify(path)}`),
  ];
  if (sentences.length > 0 && request.fieldValidation === "Strict")
    throw new StatusError(
      "BadRequest",
      `${request.kind.kind} in version ${JSON.stringify(request.kind.version)} cannot be handled as a ${request.kind.kind}: strict decoding error: ${sentences.join(", ")}`,
    );
  if (request.fieldValidation === "Warn") for (const sentence of sentences) request.warn(sentence);
  for (const path of unsupported) request.warn(`${path}: accepted and kept, but not honoured by this cluster`);
  for (const sentence of request.kind.warnings?.(object) ?? []) request.warn(sentence);
  return object;
}
