/**
 * JSON patch, RFC 6902. Pure: the target is copied.
 *
 *   PATCH application/json-patch+json ─▶ parseJSONPatch() ─▶ applyJSONPatch(target) ─▶ patched value
 *
 * Bounded: at most 10 000 operations, as kube-apiserver, and copies of at most 3 MiB together.
 */
import { isEqual } from "#api/schema/read.ts";
import { StatusError } from "#api/status.ts";
import { isDeeper } from "../json-text.ts";

/** Most operations of one patch: k8s.io/apiserver handlers/patch.go maxJSONPatchOperations. */
const operationsMax = 10_000;
/** Deepest nesting of the result: that of a body. */
const depthMax = 100;
/** Most bytes of JSON that `copy` may add: without it a small patch doubles a document again and again. */
const copyBytesMax = 3 * 1024 * 1024;

interface Operation {
  readonly op: "add" | "remove" | "replace" | "move" | "copy" | "test";
  readonly path: readonly string[];
  readonly from: readonly string[];
  readonly value: unknown;
}

/** The operations in a body. Throws BadRequest, RequestEntityTooLarge. */
export function parseJSONPatch(body: unknown): readonly Operation[] {
  if (!Array.isArray(body))
    throw new StatusError("BadRequest", "Cannot read the JSON patch: wanted a list of operations");
  if (body.length > operationsMax)
    throw new StatusError(
      "RequestEntityTooLarge",
      `The allowed maximum operations in a JSON patch is ${operationsMax}, got ${body.length}`,
    );
  return body.map(parseOperation);
}

function parseOperation(sent: unknown, index: number): Operation {
  const fail = (why: string): never => {
    throw new StatusError("BadRequest", `Cannot read operation ${index} of the JSON patch: ${why}`);
  };
  if (!isObject(sent)) return fail("wanted an object");
  const { op, path, from, value } = sent;
  if (op !== "add" && op !== "remove" && op !== "replace" && op !== "move" && op !== "copy" && op !== "test")
    return fail(`got op ${JSON.stringify(op)}, wanted add, remove, replace, move, copy or test`);
  if ((op === "add" || op === "replace" || op === "test") && !Object.hasOwn(sent, "value")) return fail("has no value");
  const needsFrom = op === "move" || op === "copy";
  return { op, path: parsePointer(path, fail), from: needsFrom ? parsePointer(from, fail) : [], value };
}

/** A JSON pointer as its tokens. RFC 6901 section 4. */
function parsePointer(pointer: unknown, fail: (why: string) => never): readonly string[] {
  if (typeof pointer !== "string" || (pointer !== "" && !pointer.startsWith("/")))
    return fail(`got pointer ${JSON.stringify(pointer)}, wanted one that starts with "/"`);
  return pointer
    .split("/")
    .slice(1)
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** `target` after all operations. Throws Invalid when one of them cannot be applied; nothing is then changed. */
export function applyJSONPatch(target: unknown, operations: readonly Operation[]): unknown {
  const root = { value: structuredClone(target) };
  let copiedBytes = 0;
  for (const { op, path, from, value } of operations)
    switch (op) {
      case "add":
        add(root, path, structuredClone(value));
        break;
      case "replace":
        read(root, path);
        write(root, path, structuredClone(value));
        break;
      case "remove":
        remove(root, path);
        break;
      case "test":
        if (!isEqual(read(root, path), value)) throw refused(path, "the value is not the one that is tested for");
        break;
      case "move":
        if (from.length < path.length && from.every((token, at) => token === path[at]))
          throw refused(path, "a value cannot move into itself");
        add(root, path, remove(root, from));
        break;
      case "copy": {
        const text = JSON.stringify(read(root, from));
        copiedBytes += text.length;
        if (copiedBytes > copyBytesMax) throw refused(path, `copies amount to more than ${copyBytesMax} bytes`);
        add(root, path, JSON.parse(text));
        break;
      }
    }
  // Each operation may nest what the one before made.
  if (isDeeper(root.value, depthMax)) throw refused([], `the result nests deeper than ${depthMax} levels`);
  return root.value;
}

interface Root {
  value: unknown;
}

function add(root: Root, path: readonly string[], value: unknown): void {
  const parent = path.length === 0 ? undefined : read(root, path.slice(0, -1));
  const token = path.at(-1) ?? "";
  if (!Array.isArray(parent)) return write(root, path, value);
  const index = token === "-" ? parent.length : indexOf(path, token);
  if (index > parent.length) throw refused(path, `the list has ${parent.length} items`);
  parent.splice(index, 0, value);
}

function remove(root: Root, path: readonly string[]): unknown {
  const value = read(root, path);
  const parent = path.length === 0 ? undefined : read(root, path.slice(0, -1));
  const token = path.at(-1) ?? "";
  if (Array.isArray(parent)) parent.splice(indexOf(path, token), 1);
  else if (isObject(parent)) delete parent[token];
  else throw refused(path, "the whole object cannot be removed");
  return value;
}

function write(root: Root, path: readonly string[], value: unknown): void {
  if (path.length === 0) {
    root.value = value;
    return;
  }
  const parent = read(root, path.slice(0, -1));
  const token = path.at(-1) ?? "";
  if (Array.isArray(parent)) parent[indexOf(path, token)] = value;
  // Defined, not assigned, so that a key such as "__proto__" stays a key.
  else if (isObject(parent))
    Object.defineProperty(parent, token, { value, enumerable: true, configurable: true, writable: true });
  else throw refused(path, "its parent is neither an object nor a list");
}

function read(root: Root, path: readonly string[]): unknown {
  let value = root.value;
  for (const token of path) {
    if (Array.isArray(value)) {
      const index = indexOf(path, token);
      if (index >= value.length) throw refused(path, `the list has ${value.length} items`);
      value = value[index] as unknown;
    } else if (isObject(value) && Object.hasOwn(value, token)) value = value[token];
    else throw refused(path, `there is no ${JSON.stringify(token)}`);
  }
  return value;
}

function indexOf(path: readonly string[], token: string): number {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(token)) throw refused(path, `${JSON.stringify(token)} is not an index of a list`);
  return Number(token);
}

function refused(path: readonly string[], why: string): StatusError {
  const pointer = path.map((token) => `/${token}`).join("");
  return new StatusError("Invalid", `Cannot apply the JSON patch at ${JSON.stringify(pointer)}: ${why}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
