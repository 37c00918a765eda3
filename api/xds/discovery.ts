/**
 * The envelope of delta ADS: DeltaDiscoveryRequest and DeltaDiscoveryResponse between objects and bytes.
 *
 *   control/push ⇄ gRPC ⇄ client.ts
 *
 * Written by hand rather than by reflection because resources pass through as bytes: a resource is encoded once and
 * then copied into the response of each client. Unknown fields of the envelope are passed over, as gRPC demands.
 * Source: envoy/service/discovery/v3/discovery.proto
 */
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";
import { Reader, wireTypes, Writer } from "./wire.ts";

/** The method that serves delta ADS, and the one of the older protocol. */
export const adsMethods = {
  delta: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
  stateOfTheWorld: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
} as const;

/** envoy.config.core.v3.Node, as far as it names a client. */
export interface Node {
  readonly id: string;
  readonly cluster?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface DeltaRequest {
  /** Given on the first request of a stream. */
  readonly node?: Node;
  readonly typeUrl: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** name → version that the client holds already; on the first request of a type. */
  readonly initialVersions: Readonly<Record<string, string>>;
  /** The response that this acknowledges; empty when none. */
  readonly nonce: string;
  /** Present: the response `nonce` was rejected. */
  readonly error?: { readonly code: number; readonly message: string };
}

/** One resource as it goes over the wire. */
export interface WireResource {
  readonly name: string;
  readonly version: string;
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export interface DeltaResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersion: string;
  readonly resources: readonly WireResource[];
  readonly removed: readonly string[];
}

/** How the requests and responses of one stream are written. */
export interface Dialect {
  /** The gRPC method. */
  readonly method: string;
  encode(request: DeltaRequest): Buffer;
  /** Throws CodecError bad_bytes when the bytes are no such message. */
  decode(bytes: Uint8Array): DeltaResponse;
}

/** A request with nothing but what is given. */
export function deltaRequest(typeUrl: string, parts: Partial<DeltaRequest> = {}): DeltaRequest {
  return { typeUrl, subscribe: [], unsubscribe: [], initialVersions: {}, nonce: "", ...parts };
}

export function encodeRequest(request: DeltaRequest): Buffer {
  const { node, initialVersions } = request;
  return encodeMessage("envoy.service.discovery.v3.DeltaDiscoveryRequest", {
    ...(node === undefined ? {} : { node }),
    type_url: request.typeUrl,
    resource_names_subscribe: request.subscribe,
    resource_names_unsubscribe: request.unsubscribe,
    initial_resource_versions: initialVersions,
    response_nonce: request.nonce,
    ...(request.error === undefined ? {} : { error_detail: request.error }),
  });
}

/** As Wherry's own control plane, and Istio's by default, have it. */
export const deltaDialect: Dialect = { method: adsMethods.delta, encode: encodeRequest, decode: decodeResponse };

/** Throws CodecError bad_bytes when the bytes are no such message. */
export function decodeRequest(bytes: Uint8Array): DeltaRequest {
  const reader = new Reader(bytes);
  const request = {
    typeUrl: "",
    nonce: "",
    subscribe: [] as string[],
    unsubscribe: [] as string[],
    initialVersions: Object.create(null) as Record<string, string>,
  };
  let node: Node | undefined;
  let error: DeltaRequest["error"];
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (wireType !== wireTypes.bytes) {
      reader.skipValue(wireType);
      continue;
    }
    const content = reader.bytes();
    if (id === 1) node = decodeNode(content);
    else if (id === 2) request.typeUrl = content.toString();
    else if (id === 3) request.subscribe.push(content.toString());
    else if (id === 4) request.unsubscribe.push(content.toString());
    else if (id === 5) addEntry(content, request.initialVersions);
    else if (id === 6) request.nonce = content.toString();
    else if (id === 7) error = decodeStatus(content);
  }
  return { ...request, ...(node === undefined ? {} : { node }), ...(error === undefined ? {} : { error }) };
}

/** The bytes of envoy.service.discovery.v3.Resource, to be put into any number of responses. */
export function encodeWireResource({ name, version, typeUrl, value }: WireResource): Buffer {
  const any = new Writer();
  writeText(any, 1, typeUrl);
  any.tag(2, wireTypes.bytes);
  any.bytes(value);
  const writer = new Writer();
  writeText(writer, 1, version);
  writer.tag(2, wireTypes.bytes);
  writer.bytes(any.finish());
  writeText(writer, 3, name);
  return writer.finish();
}

/** A response made of resources that `encodeWireResource` encoded before. */
export function encodeResponse(response: {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersion: string;
  readonly encodedResources: readonly Uint8Array[];
  readonly removed: readonly string[];
}): Buffer {
  const writer = new Writer();
  writeText(writer, 1, response.systemVersion);
  for (const resource of response.encodedResources) {
    writer.tag(2, wireTypes.bytes);
    writer.bytes(resource);
  }
  writeText(writer, 4, response.typeUrl);
  writeText(writer, 5, response.nonce);
  for (const name of response.removed) writeText(writer, 6, name);
  return writer.finish();
}

/** Throws CodecError bad_bytes when the bytes are no such message. The values share memory with `bytes`. */
export function decodeResponse(bytes: Uint8Array): DeltaResponse {
  const reader = new Reader(bytes);
  const response = {
    typeUrl: "",
    nonce: "",
    systemVersion: "",
    resources: [] as WireResource[],
    removed: [] as string[],
  };
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (wireType !== wireTypes.bytes) {
      reader.skipValue(wireType);
      continue;
    }
    const content = reader.bytes();
    if (id === 1) response.systemVersion = content.toString();
    else if (id === 2) response.resources.push(decodeWireResource(content));
    else if (id === 4) response.typeUrl = content.toString();
    else if (id === 5) response.nonce = content.toString();
    else if (id === 6) response.removed.push(content.toString());
  }
  return response;
}

export function decodeWireResource(bytes: Uint8Array): WireResource {
  const texts = fieldsOf(bytes);
  const any = fieldsOf(texts.get(2) ?? new Uint8Array());
  return {
    name: textOf(texts.get(3)),
    version: textOf(texts.get(1)),
    typeUrl: textOf(any.get(1)),
    value: any.get(2) ?? new Uint8Array(),
  };
}

/** Of a node only what names it: Envoy sends its extensions and build as well, which may be newer than our table. */
function decodeNode(bytes: Uint8Array): Node {
  const fields = fieldsOf(bytes);
  const metadata = fields.get(3);
  return {
    id: textOf(fields.get(1)),
    cluster: textOf(fields.get(2)),
    ...(metadata === undefined ? {} : { metadata: decodeMessage("google.protobuf.Struct", metadata) }),
  };
}

function decodeStatus(bytes: Uint8Array): { code: number; message: string } {
  const reader = new Reader(bytes);
  const status = { code: 0, message: "" };
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id === 1 && wireType === wireTypes.varint) status.code = Number(BigInt.asIntN(32, reader.varint64()));
    else if (id === 2 && wireType === wireTypes.bytes) status.message = reader.string();
    else reader.skipValue(wireType);
  }
  return status;
}

function addEntry(bytes: Uint8Array, into: Record<string, string>): void {
  const fields = fieldsOf(bytes);
  into[textOf(fields.get(1))] = textOf(fields.get(2));
}

/** The length-delimited fields of a message, the last of each number. */
export function fieldsOf(bytes: Uint8Array): ReadonlyMap<number, Buffer> {
  const reader = new Reader(bytes);
  const fields = new Map<number, Buffer>();
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (wireType === wireTypes.bytes) fields.set(id, reader.bytes());
    else reader.skipValue(wireType);
  }
  return fields;
}

export function textOf(bytes: Buffer | undefined): string {
  return bytes === undefined ? "" : bytes.toString();
}

function writeText(writer: Writer, id: number, text: string): void {
  if (text === "") return;
  writer.tag(id, wireTypes.bytes);
  writer.string(text);
}
