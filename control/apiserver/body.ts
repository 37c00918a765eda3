/**
 * Request bodies: bounded, of a known media type, of bounded depth.
 *
 *   IncomingMessage ─▶ readBytes() ─▶ parseBody() ─▶ verbs
 *
 * Formats that kube-apiserver knows and this server does not are refused by name, with what to send instead.
 */
import { StatusError } from "#api/status.ts";
import { messageOf } from "#lib/errors.ts";

/** Largest body, in bytes: kube-apiserver's limit. */
export const bodyBytesMax: number = 3 * 1024 * 1024;

/** Deepest nesting of objects and lists. The deepest of the served kinds needs fewer than 20. */
const depthMax = 100;

/** All bytes of a body. Throws RequestEntityTooLarge, without reading on. */
export async function readBytes(source: AsyncIterable<Uint8Array>, announcedBytes: number): Promise<Buffer> {
  const tooLarge = (): StatusError =>
    new StatusError("RequestEntityTooLarge", `Request entity too large: limit is ${bodyBytesMax}`);
  if (announcedBytes > bodyBytesMax) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > bodyBytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The JSON value in a body; undefined for an empty one. Throws UnsupportedMediaType, BadRequest. */
export function parseBody(bytes: Buffer, contentType: string, method: string): unknown {
  if (bytes.length === 0) return undefined;
  checkMediaType(contentType, method);
  const text = bytes.toString("utf8");
  if (depthOf(text) > depthMax)
    throw new StatusError("BadRequest", `Cannot read the body: it nests deeper than ${depthMax} levels`);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new StatusError("BadRequest", `Cannot read the body as JSON: ${messageOf(error)}`);
  }
}

const mergePatchType = "application/merge-patch+json";

/** What to say of media types that kube-apiserver reads and this server does not. */
const refusals: Readonly<Record<string, string>> = {
  "application/vnd.kubernetes.protobuf": "Kubernetes protobuf is not supported (send application/json)",
  "application/yaml": "YAML is not supported (send application/json)",
  "application/cbor": "CBOR is not supported (send application/json)",
  "application/json-patch+json": `JSON patch is not supported (send ${mergePatchType})`,
  "application/strategic-merge-patch+json": `strategic merge patch is not supported (send ${mergePatchType})`,
  "application/apply-patch+yaml": `server-side apply is not supported (send ${mergePatchType})`,
};

function checkMediaType(contentType: string, method: string): void {
  const wanted = method === "PATCH" ? mergePatchType : "application/json";
  const mediaType = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  // A body without a media type is read as JSON, as kube-apiserver does.
  if (mediaType === wanted || (mediaType === "" && method !== "PATCH")) return;
  const why = refusals[mediaType] ?? `got media type ${JSON.stringify(mediaType)}, wanted ${wanted}`;
  throw new StatusError("UnsupportedMediaType", `the body of the request was in an unknown format: ${why}`);
}

/** Deepest nesting in a JSON text, without parsing it. */
function depthOf(text: string): number {
  let [depth, deepest, inString] = [0, 0, false];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (inString) {
      if (code === 0x5c) index++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth--;
  }
  return deepest;
}
