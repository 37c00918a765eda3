/** The buffer filter: what it holds, what it says of the length, and what is too much. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const filters = "type.googleapis.com/envoy.extensions.filters.http.";

const bufferOf = (max_request_bytes: number): Fields => ({ max_request_bytes });
const to = (name: string, setting?: Fields): Fields => ({
  name,
  match: { prefix: `/${name}` },
  route: { cluster: "a" },
  ...(setting === undefined
    ? {}
    : { typed_per_filter_config: { buffer: { "@type": `${filters}buffer.v3.BufferPerRoute`, ...setting } } }),
});

const post = (name: string, path: string, more: Partial<CaseRequest>): CaseRequest => ({
  name,
  method: "POST",
  path,
  ...more,
});

const letters = (bytes: number): string => "b".repeat(bytes);

const bodies: readonly (readonly [name: string, more: Partial<CaseRequest>])[] = [
  ["short", { body: letters(10) }],
  ["exact", { body: letters(100) }],
  ["long", { body: letters(101) }],
  ["chunks", { chunks: [letters(10), letters(20)] }],
  ["no chunk", { chunks: [] }],
  ["exact chunks", { chunks: [letters(50), letters(50)] }],
  ["long chunks", { chunks: [letters(50), letters(51)] }],
  ["very long", { body: letters(2000) }],
  ["gRPC too long", { body: letters(101), headers: [["content-type", "application/grpc"]] }],
];

const requests = ["all", "more", "off"].flatMap((path) =>
  bodies.map(([name, more]) => post(`${path} ${name}`, `/${path}`, more)),
);

const buffered: CaseGroup = {
  name: "buffered",
  filters: [{ name: "buffer", typed_config: { "@type": `${filters}buffer.v3.Buffer`, ...bufferOf(100) } }],
  routes: [to("all"), to("more", { buffer: bufferOf(1000) }), to("off", { disabled: true })],
  requests: [...requests, { name: "GET", path: "/all" }],
};

export const bufferingCases: readonly CaseGroup[] = [buffered];
