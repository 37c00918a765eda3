/**
 * Request bodies: bounded, of a known media type, of bounded depth.
 *
 *   IncomingMessage ─▶ readBytes() ─▶ parseBody() ─▶ verbs
 *
 * Formats that kube-apiserver knows and this server does not are refused by name, with what to send instead.
 */
import type { Readable } from "node:stream";
import { decodeKubernetes } from "#api/protobuf/decode.ts";
import { StatusError } from "#api/status.ts";
import { CodecError } from "#api/xds/errors.ts";
import { messageOf } from "#lib/errors.ts";
import { inspectJSON, isDeeper } from "./json-text.ts";
import { patchTypes } from "./patch/patch.ts";

/** Largest body, in bytes: kube-apiserver's limit. */
export const bodyBytesMax: number = 3 * 1024 * 1024;

/** Deepest nesting of objects and lists. The deepest of the served kinds needs fewer than 20. */
export const depthMax = 100;

/** All bytes of a body. Throws RequestEntityTooLarge, without reading on. */
export async function readBytes(source: Readable, announcedBytes: number): Promise<Buffer> {
  const tooLarge = (): StatusError =>
    new StatusError("RequestEntityTooLarge", `Request entity too large: limit is ${bodyBytesMax}`);
  if (announcedBytes > bodyBytesMax) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Left open when it is too large: the answer goes out over the same socket.
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > bodyBytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The JSON value in a body; undefined for an empty one. Throws UnsupportedMediaType, BadRequest. */
export function parseBody(bytes: Buffer, contentType: string, method: string): unknown {
  if (bytes.length === 0) return undefined;
  const mediaType = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (mediaType === protobufType && method !== "PATCH") return parseProtobuf(bytes);
  checkMediaType(mediaType, method);
  const text = bytes.toString("utf8");
  const { deepest, duplicates } = inspectJSON(text, depthMax);
  if (deepest > depthMax) throw tooDeep();
  const value = parseJSON(text);
  if (duplicates.length > 0 && typeof value === "object" && value !== null) duplicateFields.set(value, duplicates);
  return value;
}

/** Fields that stand twice in bodies, by the value that was read of them: the last one counted. */
const duplicateFields = new WeakMap<object, readonly string[]>();

/** The paths of fields that stood twice in the text of a body. */
export function duplicatesIn(body: unknown): readonly string[] {
  return typeof body === "object" && body !== null ? (duplicateFields.get(body) ?? []) : [];
}

function parseJSON(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new StatusError("BadRequest", `Cannot read the body as JSON: ${messageOf(error)}`);
  }
}

function tooDeep(): StatusError {
  return new StatusError("BadRequest", `Cannot read the body: it nests deeper than ${depthMax} levels`);
}

const protobufType = "application/vnd.kubernetes.protobuf";

/** The JSON of a protobuf body. Answers are JSON all the same, which clients accept. */
function parseProtobuf(bytes: Buffer): unknown {
  try {
    const value = decodeKubernetes(bytes);
    // A field may hold JSON.
    if (isDeeper(value, depthMax)) throw tooDeep();
    return value;
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    throw new StatusError(error.code === "unknown_type" ? "UnsupportedMediaType" : "BadRequest", error.message);
  }
}

/** What to say of media types that kube-apiserver reads and this server does not. */
const refusals: Readonly<Record<string, string>> = {
  "application/yaml": "YAML is not supported (send application/json)",
  "application/cbor": "CBOR is not supported (send application/json)",
  "application/apply-patch+yaml": `server-side apply is not supported (send ${patchTypes.merge})`,
};

function checkMediaType(mediaType: string, method: string): void {
  const wanted: readonly string[] = method === "PATCH" ? Object.values(patchTypes) : ["application/json"];
  // A body without a media type is read as JSON, as kube-apiserver does.
  if (wanted.includes(mediaType) || (mediaType === "" && method !== "PATCH")) return;
  const why = refusals[mediaType] ?? `got media type ${JSON.stringify(mediaType)}, wanted ${wanted.join(", ")}`;
  throw new StatusError("UnsupportedMediaType", `the body of the request was in an unknown format: ${why}`);
}
