/**
 * Objects out of YAML and JSON files, each with where it stood, so that every complaint can say which file and line.
 */
import { readFileSync, readSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { kindByName, kinds } from "#api/scheme.ts";
import { type KindRef, apiVersionOf } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { LineCounter, isMap, parseAllDocuments } from "yaml";
import { CliError } from "./errors.ts";

export interface Manifest {
  /** `file:line` of the document. */
  readonly where: string;
  readonly kind: KindRef;
  readonly object: KubeObject;
}

const fileBytesMax = 16 * 1024 * 1024;

/**
 * All objects of `paths`: files, folders (their *.yaml, *.yml, *.json), or `-`. Nothing is returned unless all can
 * be read.
 */
export function readManifests(paths: readonly string[]): Manifest[] {
  return paths
    .flatMap(expandPath)
    .flatMap((file) => parseManifests(readText(file), file === "-" ? "standard input" : file));
}

function expandPath(path: string): string[] {
  if (path === "-") return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
  } catch (error) {
    throw new CliError("Failed", `Cannot read ${path}: ${messageOf(error)}`);
  }
  const files = readdirSync(path).filter((name) => /\.(ya?ml|json)$/.test(name));
  return files.sort().map((name) => join(path, name));
}

function readText(file: string): string {
  const bytes = file === "-" ? readStandardInput() : readFileSync(file);
  if (bytes.length > fileBytesMax)
    throw new CliError("Failed", `Cannot read ${file}: ${bytes.length} bytes, at most ${fileBytesMax}`);
  return bytes.toString();
}

/**
 * To the end, or to just beyond what is allowed. Standard input may be a pipe that does not block: then waits for
 * more.
 */
function readStandardInput(): Buffer {
  const chunks: Buffer[] = [];
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let bytes = 0; bytes <= fileBytesMax;) {
    const chunk = Buffer.alloc(64 * 1024);
    try {
      const read = readSync(0, chunk);
      if (read === 0) break;
      chunks.push(chunk.subarray(0, read));
      bytes += read;
    } catch (error) {
      if (errnoOf(error) === "EOF") break;
      if (errnoOf(error) !== "EAGAIN") throw error;
      Atomics.wait(pause, 0, 0, 5);
    }
  }
  return Buffer.concat(chunks);
}

/** The objects of one text. Throws CliError Failed with file, line and what was wanted. */
export function parseManifests(text: string, file: string): Manifest[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, version: "1.2" });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) {
      const at = problem.linePos?.[0];
      const line = at === undefined ? "" : `:${at.line}:${at.col}`;
      throw new CliError(
        "Failed",
        `Cannot parse ${file}${line}: ${problem.message
          .split("\n")[0]
          ?.replace(/ at line \d+.*$/, "")
          .replace(/:$/, "")}`,
      );
    }
    // Nothing between two separators, as templates leave it.
    if (document.contents === null || document.toJS() === null) return [];
    const where = `${file}:${lines.linePos(document.contents.range?.[0] ?? 0).line}`;
    if (!isMap(document.contents))
      throw new CliError("Failed", `Cannot read ${where}: wanted an object with apiVersion, kind and metadata`);
    return toManifests(document.toJS() as Record<string, unknown>, where);
  });
}

function toManifests(value: Record<string, unknown>, where: string): Manifest[] {
  const { apiVersion, kind, metadata } = value;
  if (typeof apiVersion !== "string") throw new CliError("Failed", `Cannot read ${where}: apiVersion: Required value`);
  if (typeof kind !== "string") throw new CliError("Failed", `Cannot read ${where}: kind: Required value`);
  if (kind === "List" && Array.isArray(value["items"])) {
    return value["items"].flatMap((item: Record<string, unknown>, at) => toManifests(item, `${where} items[${at}]`));
  }
  const known = kindByName(apiVersion, kind);
  if (known === undefined) throw unknownKind(apiVersion, kind, where);
  const { name, generateName } = (metadata ?? {}) as Record<string, unknown>;
  if (typeof name !== "string" && typeof generateName !== "string") {
    throw new CliError("Failed", `Cannot read ${where}: metadata.name: Required value`);
  }
  return [{ where, kind: known, object: value as unknown as KubeObject }];
}

function unknownKind(apiVersion: string, kind: string, where: string): CliError {
  const elsewhere = kinds.find((candidate) => candidate.kind === kind);
  const wanted =
    elsewhere === undefined
      ? `wanted one of ${kinds.map((candidate) => candidate.kind).join(", ")}`
      : `wanted apiVersion ${apiVersionOf(elsewhere)}`;
  return new CliError("Failed", `Cannot read ${where}: unknown kind ${kind} in ${apiVersion}, ${wanted}`);
}
