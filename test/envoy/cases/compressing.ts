/** The compressor: what is compressed, with which coding, and what is said of it. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const prefix = "type.googleapis.com/envoy.extensions.";

const libraries: Readonly<Record<string, string>> = { gzip: "Gzip", brotli: "Brotli", zstd: "Zstd" };
const filterOf = (library: string, more: Fields = {}): Fields => ({
  name: library,
  typed_config: {
    "@type": `${prefix}filters.http.compressor.v3.Compressor`,
    compressor_library: {
      name: "library",
      typed_config: { "@type": `${prefix}compression.${library}.compressor.v3.${libraries[library]!}` },
    },
    ...more,
  },
});
const perRoute = (config: Fields): Fields => ({
  gzip: { "@type": `${prefix}filters.http.compressor.v3.CompressorPerRoute`, ...config },
});

const to = (path: string, typed_per_filter_config: Fields = {}): Fields => ({
  name: path,
  match: { prefix: path },
  route: { cluster: "a" },
  typed_per_filter_config,
});

type Header = readonly [name: string, value: string];

const plain: Header = ["x-answer-header", "content-type=text/plain"];
const accepts = (coding: string): Header => ["accept-encoding", coding];
const says = (name: string, value: string): Header => ["x-answer-header", `${name}=${value}`];
const get = (name: string, path: string, ...headers: readonly Header[]): CaseRequest => ({ name, path, headers });

const accepted = [
  "gzip",
  "GZIP",
  "deflate",
  "gzip;q=0",
  "*",
  "*;q=0",
  "identity",
  "gzip;q=0.5, identity;q=0.9",
  "",
  "gzip;q=0.9, identity;q=0.5",
  "identity, gzip",
  "gzip, identity",
  "br, gzip",
  "gzip;q=x",
  "gzip;level=1",
  "x-gzip",
  "br;q=0, *",
  "gzip ; q = 0.5",
  "gzip;q=0,gzip",
  "gzip,gzip;q=0",
  "gzip;q=0.000",
  "gzip;q=7",
  ";q=1",
  "gzip;q=-1",
  "gzip;q=1;x=y",
  "gzip;Q=0",
  "gzip,,",
  "deflate;q=1, *;q=0.5",
];

const responses: readonly (readonly [name: string, headers: readonly Header[]])[] = [
  ["without a type", []],
  ["with parameters", [says("content-type", "text/html; charset=utf-8")]],
  ["in capitals", [says("content-type", "TEXT/HTML")]],
  ["of JSON", [says("content-type", "application/json")]],
  ["of an image", [says("content-type", "image/png")]],
  ["of SVG", [says("content-type", "image/svg+xml")]],
  ["of gRPC", [says("content-type", "application/grpc")]],
  ["of WASM", [says("content-type", "application/wasm")]],
  ["of events", [says("content-type", "text/event-stream")]],
  ["with a strong tag", [plain, says("etag", '"123456"')]],
  ["with a weak tag", [plain, says("etag", 'W/"123456"')]],
  ["with a lower-case weak tag", [plain, says("etag", 'w/"123456"')]],
  ["with a short tag", [plain, says("etag", "12")]],
  ["that varies", [plain, says("vary", "x-user")]],
  ["that varies by this", [plain, says("vary", "x-user, accept-encoding")]],
  ["that varies by all", [plain, says("vary", "*")]],
  ["not to be changed", [plain, says("cache-control", "public, no-transform")]],
  ["not to be changed, in capitals", [plain, says("cache-control", "No-Transform")]],
  ["that is encoded", [plain, says("content-encoding", "br")]],
  ["that is encoded as it is", [plain, says("content-encoding", "identity")]],
  ["in chunks", [plain, says("transfer-encoding", "chunked")]],
  ["of an image in chunks", [says("content-type", "image/png"), says("transfer-encoding", "chunked")]],
  ["206", [plain, ["x-answer-status", "206"]]],
  ["204", [plain, ["x-answer-status", "204"]]],
  ["304", [plain, ["x-answer-status", "304"]]],
  ["404", [plain, ["x-answer-status", "404"]]],
  ["503", [plain, ["x-answer-status", "503"]]],
];

const gzip: CaseGroup = {
  name: "gzip",
  filters: [filterOf("gzip")],
  routes: [
    to("/off", perRoute({ disabled: true })),
    to("/hides", perRoute({ overrides: { response_direction_config: { remove_accept_encoding_header: true } } })),
    to("/"),
  ],
  requests: [
    get("not asked for", "/", plain),
    ...accepted.map((coding) => get(`accepts ${coding}`, "/", plain, accepts(coding))),
    get("accepts on two lines", "/", plain, accepts("gzip;q=0"), accepts("*")),
    ...responses.map(([name, headers]) => get(`answer ${name}`, "/", accepts("gzip"), ...headers)),
    ...["with a strong tag", "that varies", "of an image"].map((name) =>
      get(`not asked for, answer ${name}`, "/", ...responses.find(([other]) => other === name)![1]),
    ),
    { ...get("HEAD", "/", plain, accepts("gzip")), method: "HEAD" },
    get("off", "/off", plain, accepts("gzip")),
    get("hidden from the upstream", "/hides", plain, accepts("gzip")),
  ],
};

const set: CaseGroup = {
  name: "gzip-set",
  filters: [
    filterOf("gzip", {
      response_direction_config: {
        common_config: { min_content_length: 1000, content_type: ["text/x-mine", "image/PNG"] },
        disable_on_etag_header: true,
        remove_accept_encoding_header: true,
      },
    }),
  ],
  routes: [
    to("/off", perRoute({ disabled: true })),
    to("/shows", perRoute({ overrides: { response_direction_config: { remove_accept_encoding_header: false } } })),
    to("/"),
  ],
  requests: [
    get("short", "/", accepts("gzip")),
    get("long", "/", accepts("gzip"), says("content-type", "text/x-mine"), ["x-long", "y".repeat(1000)]),
    get("long, by another name", "/", accepts("gzip"), plain, ["x-long", "y".repeat(1000)]),
    get("long, an image", "/", accepts("gzip"), says("content-type", "image/png"), ["x-long", "y".repeat(1000)]),
    get("long, with a tag", "/", accepts("gzip"), says("etag", 'W/"1"'), ["x-long", "y".repeat(1000)]),
    get("long, off", "/off", accepts("gzip"), ["x-long", "y".repeat(1000)]),
    get("long, shown", "/shows", accepts("gzip"), ["x-long", "y".repeat(1000)]),
    get("short, in chunks", "/", accepts("gzip"), says("transfer-encoding", "chunked")),
  ],
};

const off: CaseGroup = {
  name: "gzip-off",
  filters: [
    filterOf("gzip", {
      response_direction_config: { common_config: { enabled: { default_value: false, runtime_key: "x" } } },
    }),
  ],
  routes: [
    to("/on", perRoute({ overrides: { response_direction_config: {} } })),
    to("/overridden", perRoute({ overrides: {} })),
    to("/"),
  ],
  requests: ["/", "/on", "/overridden"].map((path) => get(path, path, plain, accepts("gzip"))),
};

const several = [
  "gzip, br, zstd",
  "zstd, br, gzip",
  "br;q=0.5, gzip",
  "gzip;q=0.5, zstd;q=0.6",
  "*",
  "*, gzip;q=0",
  "br",
  "zstd",
  "deflate",
  "identity, br",
  "br, identity",
  "gzip;q=0, br;q=0, *;q=0.1",
  "*;q=0.5, br;q=0.5",
];

const codings = (name: string, filters: readonly Fields[]): CaseGroup => ({
  name,
  filters,
  routes: [to("/")],
  requests: several.map((coding) => get(`accepts ${coding}`, "/", plain, accepts(coding))),
});

export const compressingCases: readonly CaseGroup[] = [
  gzip,
  set,
  off,
  codings("codings", [filterOf("gzip"), filterOf("brotli"), filterOf("zstd")]),
  codings("codings-first", [filterOf("gzip"), filterOf("brotli", { choose_first: true }), filterOf("zstd")]),
  codings("codings-by-type", [
    filterOf("brotli", { response_direction_config: { common_config: { content_type: ["image/png"] } } }),
    filterOf("gzip"),
  ]),
];
