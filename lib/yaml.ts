/**
 * One YAML document of a file that a person wrote, or a sentence about what it is instead.
 *
 *   text ─▶ parseYAML ─▶ value, or YAMLError whose message ends a sentence: `Cannot read FILE: …`
 *
 * The library's own errors speak to programmers (`please use YAML.parseAllDocuments()`) and draw the line below.
 */
import { isScalar, parseAllDocuments } from "yaml";
import { CodedError, messageOf } from "./errors.ts";

export class YAMLError extends CodedError<"NotOneDocument" | "Malformed"> {}

/** Aliases of one anchor: more is an attack on memory (`billion laughs`). */
const aliasesMax = 1000;

/** The value of the text's only document; null where it is empty. Throws YAMLError. */
export function parseYAML(text: string): unknown {
  const all = parseAllDocuments(text);
  const documents = "empty" in all ? [] : all;
  const [error] = documents.flatMap(({ errors }) => errors);
  if (error !== undefined) throw malformed(error);
  // What has nothing in it (a last line of `---`) is no document.
  const full = documents.filter(({ contents }) => !(isScalar(contents) && contents.value === null));
  if (full.length > 1) throw new YAMLError("NotOneDocument", `it has ${full.length} YAML documents, wanted one`);
  try {
    return full[0]?.toJS({ maxAliasCount: aliasesMax }) ?? null;
  } catch (cause) {
    throw malformed(cause);
  }
}

/** As `parseYAML`, of what must be an object: configuration. */
export function parseYAMLObject(text: string): Readonly<Record<string, unknown>> {
  const value = parseYAML(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new YAMLError("Malformed", "it is no YAML object");
  return value as Readonly<Record<string, unknown>>;
}

function malformed(cause: unknown): YAMLError {
  const [line = ""] = messageOf(cause).split("\n", 1);
  return new YAMLError("Malformed", `it is no YAML: ${line.replace(/:$/, "")}`, { cause });
}
