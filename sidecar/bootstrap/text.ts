/**
 * One text of a bootstrap, YAML or JSON → its object. Pure.
 *
 *   -c FILE, --config-yaml TEXT ─▶ parseText() ─▶ config.ts
 *
 * Invariant: what is no YAML for Envoy is none here, and the message says where.
 */
import { type Document, Scalar, isScalar, parseDocument, visit } from "yaml";
import { messageOf } from "#lib/errors.ts";
import { parseStrictJSON } from "#lib/json.ts";
import { SidecarError } from "../errors.ts";

/** A text with what its errors call it, such as its file. */
export interface NamedText {
  readonly name: string;
  readonly text: string;
}

/** Throws SidecarError. */
export function parseText(given: string | NamedText): object {
  const { name, text } = typeof given === "string" ? { name: "", text: given } : given;
  const what = name === "" ? "bootstrap" : `bootstrap ${name}`;
  const value = parseStrictJSON(text) ?? parseYAML(text, what);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new SidecarError("BAD_BOOTSTRAP", `Cannot read ${what}: it is ${kindOf(value)}, wanted an object`);
  return value;
}

/** What stands there instead of an object. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  const text = JSON.stringify(value);
  return `the ${typeof value} ${text.length > 40 ? `${text.slice(0, 40)}…` : text}`;
}

/** JSON is YAML too, but reading it as that takes 80 times as long, and 100 bytes of memory for each of its own. */
function parseYAML(text: string, what: string): unknown {
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error?.code === "MULTIPLE_DOCS")
    throw new SidecarError("BAD_BOOTSTRAP", `Cannot read ${what}: several YAML documents, wanted one`);
  if (error !== undefined) throw new SidecarError("BAD_BOOTSTRAP", `Cannot read ${what}: ${sentenceOf(error)}`);
  const value: unknown = document.toJS({ maxAliasCount: 1000 });
  const path = hasMergeKey(document) ? mergePathOf(value, "") : undefined;
  if (path === undefined) return value;
  const why = "merge keys are not supported, nor are they in Envoy";
  throw new SidecarError("BAD_BOOTSTRAP", `Cannot use ${path}: ${why}`);
}

/** Without the excerpt of the text behind it. */
function sentenceOf(error: Error): string {
  return messageOf(error).split("\n", 1)[0]!.replace(/:$/, "");
}

/** Of YAML 1.1 only; Envoy's parser takes it for the name of a field. */
const mergeKey = "<<";

/** In quotes it is a name like others. */
function hasMergeKey(document: Document): boolean {
  let isFound = false;
  visit(document, {
    Pair: (_at, { key }) => {
      if (!isScalar(key) || key.value !== mergeKey || key.type !== Scalar.PLAIN) return undefined;
      isFound = true;
      return visit.BREAK;
    },
  });
  return isFound;
}

/** The first one's, or undefined. */
function mergePathOf(value: unknown, path: string): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    if (key === mergeKey) return `${path}[${JSON.stringify(mergeKey)}]`;
    const step = Array.isArray(value) ? `[${key}]` : path === "" ? key : `.${key}`;
    const found = mergePathOf(item, `${path}${step}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
