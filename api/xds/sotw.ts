/**
 * State-of-the-world ADS, made to look like delta ADS to the client.
 *
 *   client.ts ─DeltaRequest─▶ encode() ─DiscoveryRequest─▶ control plane
 *             ◀─DeltaResponse─ decode() ◀─DiscoveryResponse─
 *
 * A request says all names that are wanted, a response of clusters or listeners all that there are: what is missing
 * in it is gone. Of routes and endpoints a response has what changed, and nothing is ever gone. Resources carry no
 * versions of their own, so a digest stands in, and only what differs from what was accepted is handed on.
 * Source: Envoy's xDS REST and gRPC protocol, "The state-of-the-world (SotW) transport protocol"
 */
import { createHash } from "node:crypto";
import {
  adsMethods,
  decodeWireResource,
  fieldsOf,
  textOf,
  type DeltaRequest,
  type DeltaResponse,
  type Dialect,
  type WireResource,
} from "./discovery.ts";
import { encodeMessage } from "./encode.ts";
import { typeUrls } from "./envoy.ts";
import { Reader, wireTypes } from "./wire.ts";

/** Resources with a name and a version of their own around them. */
const wrapperUrl = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/** Types of which a response has all resources. */
const wholeTypes: ReadonlySet<string> = new Set([typeUrls.cluster, typeUrls.listener]);

interface TypeState {
  readonly names: Set<string>;
  /** Name → digest, as accepted. */
  known: Map<string, string>;
  /** Of the last response that was accepted. */
  version: string;
  /** Of the last response that was answered. */
  nonce: string;
  /** The response that was not answered yet. */
  pending: { readonly version: string; readonly known: Map<string, string> } | undefined;
}

/** The dialect of one stream. */
export class StateOfTheWorld implements Dialect {
  readonly method: string = adsMethods.stateOfTheWorld;
  readonly #types = new Map<string, TypeState>();

  encode(request: DeltaRequest): Buffer {
    const { typeUrl, nonce, error, node } = request;
    const state = this.#stateOf(typeUrl, request.initialVersions);
    for (const name of request.subscribe) state.names.add(name);
    for (const name of request.unsubscribe) {
      state.names.delete(name);
      state.known.delete(name);
      state.pending?.known.delete(name);
    }
    if (nonce !== "") {
      if (error === undefined && state.pending !== undefined) {
        state.known = state.pending.known;
        state.version = state.pending.version;
      }
      state.nonce = nonce;
      state.pending = undefined;
    }
    return encodeMessage("envoy.service.discovery.v3.DiscoveryRequest", {
      ...(node === undefined ? {} : { node }),
      version_info: state.version,
      // No name at all means everything.
      resource_names: [...state.names].filter((name) => name !== "*"),
      type_url: typeUrl,
      response_nonce: state.nonce,
      ...(error === undefined ? {} : { error_detail: error }),
    });
  }

  /** Throws CodecError bad_bytes when the bytes are no such message. */
  decode(bytes: Uint8Array): DeltaResponse {
    const { typeUrl, version, nonce, resources: all } = decodeDiscoveryResponse(bytes);
    const state = this.#stateOf(typeUrl, {});
    const isWhole = wholeTypes.has(typeUrl);
    const known = new Map(isWhole ? [] : state.known);
    for (const { name, version: digest } of all) known.set(name, digest);
    state.pending = { version, known };
    return {
      typeUrl,
      nonce,
      systemVersion: version,
      resources: all.filter(({ name, version: digest }) => state.known.get(name) !== digest),
      removed: [...state.known.keys()].filter((name) => !known.has(name)),
    };
  }

  #stateOf(typeUrl: string, held: Readonly<Record<string, string>>): TypeState {
    let state = this.#types.get(typeUrl);
    if (state === undefined) {
      // What the client holds of the stream before has digests as its versions.
      const known = new Map(Object.entries(held));
      this.#types.set(typeUrl, (state = { names: new Set(), known, version: "", nonce: "", pending: undefined }));
    }
    return state;
  }
}

interface DiscoveryResponse {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly WireResource[];
}

/** envoy.service.discovery.v3.DiscoveryResponse. */
function decodeDiscoveryResponse(bytes: Uint8Array): DiscoveryResponse {
  const reader = new Reader(bytes);
  const response = { typeUrl: "", version: "", nonce: "", resources: [] as WireResource[] };
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (wireType !== wireTypes.bytes) {
      reader.skipValue(wireType);
      continue;
    }
    const content = reader.bytes();
    if (id === 1) response.version = content.toString();
    else if (id === 2) response.resources.push(decodeAny(content));
    else if (id === 4) response.typeUrl = content.toString();
    else if (id === 5) response.nonce = content.toString();
  }
  return response;
}

/** The name is the first field of each type that ADS carries. */
function decodeAny(bytes: Uint8Array): WireResource {
  const any = fieldsOf(bytes);
  const typeUrl = textOf(any.get(1));
  const value = any.get(2) ?? new Uint8Array();
  if (typeUrl !== wrapperUrl) return { name: textOf(fieldsOf(value).get(1)), version: digestOf(value), typeUrl, value };
  const resource = decodeWireResource(value);
  return { ...resource, version: digestOf(resource.value) };
}

function digestOf(value: Uint8Array): string {
  return createHash("sha1").update(value).digest("base64");
}
