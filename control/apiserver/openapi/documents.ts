/**
 * OpenAPI v3: one document a group and version, and the root that lists them.
 *
 *   GET /openapi/v3, /openapi/v3/apis/<group>/<version> ─▶ openAPIAt() ─▶ document
 *
 * kubectl reads from it which parameters a PATCH takes (so that it may leave validation to the server) and what
 * `explain` shows. Pure; documents are made once, when first asked for, because the largest takes some milliseconds.
 */
import { createHash } from "node:crypto";
import type { Kind } from "#api/schema/kind.ts";
import { kinds } from "#api/scheme.ts";
import { patchTypes } from "../patch/patch.ts";
import { groupVersionKind, kindSchema, schemaName } from "./schemas.ts";

type Document = Readonly<Record<string, unknown>>;

/** The document at a path's segments; undefined when there is none. */
export function openAPIAt(segments: readonly string[]): unknown {
  const [root, version, ...path] = segments;
  if (root !== "openapi" || version !== "v3") return undefined;
  return path.length === 0 ? rootDocument() : documentText(path.join("/"))?.document;
}

/** `api/v1`, `apis/apps/v1`, …: where documents are. */
const places: readonly string[] = [...new Set(kinds.map(placeOf))];

function placeOf({ group, version }: Kind): string {
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}

function rootDocument(): Document {
  const entry = (place: string): Document => ({
    serverRelativeURL: `/openapi/v3/${place}?hash=${documentText(place)?.hash ?? ""}`,
  });
  return { paths: Object.fromEntries(places.map((place) => [place, entry(place)])) };
}

interface Made {
  readonly document: Document;
  readonly hash: string;
}

const made = new Map<string, Made>();

function documentText(place: string): Made | undefined {
  if (!places.includes(place)) return undefined;
  const known = made.get(place);
  if (known !== undefined) return known;
  const document = makeDocument(kinds.filter((kind) => placeOf(kind) === place));
  const hash = createHash("sha256").update(JSON.stringify(document)).digest("hex").toUpperCase();
  const fresh = { document, hash };
  made.set(place, fresh);
  return fresh;
}

function makeDocument(served: readonly Kind[]): Document {
  return {
    openapi: "3.0.0",
    info: { title: "Wherry", version: "v1" },
    paths: Object.fromEntries(served.flatMap(pathsOf)),
    components: { schemas: Object.fromEntries(served.map((kind) => [schemaName(kind), kindSchema(kind)])) },
  };
}

function pathsOf(kind: Kind): readonly (readonly [string, Document])[] {
  const base = `/${placeOf(kind)}`;
  const collection = kind.namespaced ? `${base}/namespaces/{namespace}/${kind.plural}` : `${base}/${kind.plural}`;
  const scope = kind.namespaced ? [pathParameter("namespace")] : [];
  const list = operation(kind, "list", listParameters);
  return [
    ...(kind.namespaced ? [[`${base}/${kind.plural}`, { get: list }] as const] : []),
    [
      collection,
      {
        parameters: scope,
        get: list,
        post: operation(kind, "post", writeParameters, ["application/json"]),
        delete: operation(kind, "deletecollection", listParameters),
      },
    ],
    [
      `${collection}/{name}`,
      {
        parameters: [...scope, pathParameter("name")],
        get: operation(kind, "get", []),
        put: operation(kind, "put", writeParameters, ["application/json"]),
        patch: operation(kind, "patch", [...writeParameters, "force"], Object.values(patchTypes)),
        delete: operation(kind, "delete", ["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
      },
    ],
  ];
}

const writeParameters = ["dryRun", "fieldManager", "fieldValidation"];
const listParameters =
  "allowWatchBookmarks continue fieldSelector labelSelector limit resourceVersion resourceVersionMatch sendInitialEvents timeoutSeconds watch".split(
    " ",
  );
const booleans = new Set(["allowWatchBookmarks", "force", "sendInitialEvents", "watch"]);
const integers = new Set(["gracePeriodSeconds", "limit", "timeoutSeconds"]);

/** An operation; `bodies` are the media types of what it is sent. */
function operation(
  kind: Kind,
  action: string,
  parameters: readonly string[],
  bodies: readonly string[] = [],
): Document {
  const content = { "application/json": { schema: { $ref: `#/components/schemas/${schemaName(kind)}` } } };
  const body = Object.fromEntries(bodies.map((type) => [type, { schema: { type: "object" } }]));
  return {
    tags: [kind.group === "" ? `core_${kind.version}` : `${kind.group}_${kind.version}`],
    operationId: `${action}${kind.group.replaceAll(/[^a-z]/g, "")}${kind.version}${kind.kind}`,
    parameters: parameters.map(queryParameter),
    ...(bodies.length === 0 ? {} : { requestBody: { content: body, required: true } }),
    responses: { "200": { description: "OK", content } },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": groupVersionKind(kind),
  };
}

function queryParameter(name: string): Document {
  const type = booleans.has(name) ? "boolean" : integers.has(name) ? "integer" : "string";
  return { name, in: "query", schema: { type, uniqueItems: true } };
}

function pathParameter(name: string): Document {
  return { name, in: "path", required: true, schema: { type: "string", uniqueItems: true } };
}
