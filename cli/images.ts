/**
 * Image maps: YAML files that say which local command and directory stand for which image.
 *
 *   images:
 *     - image: docker.io/istio/examples-bookinfo-details-v1
 *       directory: ./details        # relative to the file
 *       command: [node, server.ts]
 *
 * Order: --images files, `${XDG_CONFIG_HOME:-~/.config}/wherry/images.yaml`, then those of examples/. First match wins.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { ImageMapEntry } from "#api/wire/image.ts";
import { messageOf } from "#lib/errors.ts";
import { parseYAML } from "#lib/yaml.ts";
import { CliError } from "./errors.ts";

export function loadImageMaps(env: NodeJS.ProcessEnv, files: readonly string[]): ImageMapEntry[] {
  const own = join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "wherry", "images.yaml");
  const examples = join(import.meta.dirname, "..", "examples");
  const shipped = readdirSync(examples).map((example) => join(examples, example, "images.yaml"));
  const present = [own, ...shipped].filter((file) => existsSync(file));
  return [...files, ...present].flatMap((file) => {
    const entries = parseImageMap(readMap(file), file);
    const gone = entries.find(({ directory }) => directory !== undefined && !existsSync(directory));
    if (gone === undefined) return entries;
    throw new CliError("Failed", `Cannot use image map ${file}: ${gone.image}: no folder ${gone.directory ?? ""}`);
  });
}

function readMap(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CliError("Failed", `Cannot read image map ${file}: ${messageOf(error)}`);
  }
}

/** The entries of one file. Throws CliError Failed with the file, the entry and what was wanted. */
export function parseImageMap(text: string, file: string): ImageMapEntry[] {
  let document: unknown;
  try {
    document = parseYAML(text);
  } catch (error) {
    throw new CliError("Failed", `Cannot read image map ${file}: ${messageOf(error)}`);
  }
  const images = (document as { images?: unknown } | null)?.images;
  if (!Array.isArray(images)) throw new CliError("Failed", `Cannot read image map ${file}: images: wanted a list`);
  return images.map((entry: unknown, at) => parseEntry(entry, `${file}: images[${at}]`, dirname(resolve(file))));
}

function parseEntry(entry: unknown, where: string, base: string): ImageMapEntry {
  const fail = (field: string, wanted: string): never => {
    throw new CliError("Failed", `Cannot read image map ${where}.${field}: wanted ${wanted}`);
  };
  if (!isRecord(entry)) throw new CliError("Failed", `Cannot read image map ${where}: wanted an object`);
  const { image, directory, command, env, ...rest } = entry;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) fail(unknown, "one of image, directory, command, env");
  if (typeof image !== "string") return fail("image", "a name pattern");
  if (!Array.isArray(command) || !command.every((word) => typeof word === "string") || command.length === 0) {
    return fail("command", "a list of words");
  }
  if (directory !== undefined && typeof directory !== "string") return fail("directory", "a path");
  if (env !== undefined && !isEnvironment(env)) return fail("env", "names and values");
  const folder = directory === undefined ? undefined : resolve(base, directory);
  return {
    image,
    command,
    ...(folder === undefined ? {} : { directory: folder }),
    ...(env === undefined ? {} : { env }),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEnvironment(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === "string");
}
