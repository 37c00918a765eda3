/**
 * One xDS resource, encoded once for all the clients that get it.
 *
 *   outbound.ts, inbound.ts, … ─▶ makeResource() ─▶ table.ts ─▶ control/push copies `wire` into responses
 *
 * Invariant: the version is a hash of the bytes. So equal objects give equal versions, also after a restart of the
 * control plane, and a client that reconnects is sent only what really changed.
 */
import { hash } from "node:crypto";
import { encodeResource } from "#api/xds/codec.ts";
import { encodeWireResource } from "#api/xds/discovery.ts";

export interface Resource {
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  /** envoy.service.discovery.v3.Resource, encoded. */
  readonly wire: Uint8Array;
}

/** A resource and the clients that may see it: "mesh", "node", "namespace:x", "pod:x/y@ip" or "gateway:x/y". */
export interface Placed {
  readonly scope: string;
  readonly resource: Resource;
}

/** Encodes `value`. Throws CodecError when `value` is not what its type says: a bug of the translation. */
export function makeResource(typeUrl: string, name: string, value: object): Resource {
  const bytes = encodeResource(typeUrl, value);
  const version = hash("sha1", bytes, "base64url").slice(0, 12);
  return { typeUrl, name, version, wire: encodeWireResource({ name, version, typeUrl, value: bytes }) };
}
