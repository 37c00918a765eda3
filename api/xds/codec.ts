/**
 * The codec of xDS resources, by type URL: objects as in envoy.ts and api/wire ⇄ protobuf bytes.
 *
 *   control/snapshot ─▶ encodeResource() ─▶ ADS ─▶ decodeResource() ─▶ sidecar, proxy, dns
 *
 * `checkMessage` serves static configuration (an Envoy YAML): same refusals, same paths, nothing kept.
 */
import { decodeMessage } from "./decode.ts";
import { encodeMessage, typeNameOf } from "./encode.ts";

/** The bytes of a resource of that type URL. Throws CodecError. */
export function encodeResource(typeUrl: string, resource: object): Buffer {
  return encodeMessage(typeNameOf(typeUrl), resource);
}

/** The resource of that type URL. Throws CodecError. */
export function decodeResource(typeUrl: string, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  return decodeMessage(typeNameOf(typeUrl), bytes);
}

/**
 * `value` in the one form that decoding gives (snake_case names, enums by name), after every field was checked against the
 * message `type`, e.g. "envoy.config.bootstrap.v3.Bootstrap". Throws CodecError with the path of the first bad field.
 */
export function checkMessage(type: string, value: unknown): Readonly<Record<string, unknown>> {
  return decodeMessage(type, encodeMessage(type, value));
}
