/** Who a request comes from, as far as it is believed: addresses, what an edge takes off, what is told of it. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const asked = (name: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name,
  path: "/",
  headers,
});

const filterConfig: Fields = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig" };

/** A filter that tells something in a header of the request. */
const telling = (key: string, value: string): Fields => ({
  name: "telling",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    mutations: { request_mutations: [{ append: { header: { key, value } } }] },
  },
});

/** What nobody outside may say. */
const cleaned = [
  "x-envoy-decorator-operation",
  "x-envoy-downstream-service-cluster",
  "x-envoy-downstream-service-node",
  "x-envoy-external-address",
  "x-envoy-original-host",
  "x-envoy-original-path",
  "x-envoy-original-url",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-upstream-stream-duration-ms",
  "x-forwarded-client-cert",
].map((key) => [key, "8888"] as const);

/** Routes are told apart by what the request came with, which an edge takes off before they are chosen. */
const named = (name: string): Fields => ({
  name: `kept-${name}`,
  match: { prefix: "/", headers: [{ name, string_match: { exact: "mine" } }] },
  route: { cluster: "a" },
});

const inside = { address_prefix: "10.0.0.0", prefix_len: 8 };
const loopback = { address_prefix: "127.0.0.0", prefix_len: 8 };
const internal_address_config: Fields = { cidr_ranges: [inside, loopback] };

/** What an edge takes off, and who is one. */
const edge = (name: string, manager: Fields): CaseGroup => ({
  name: `edge: ${name}`,
  manager,
  routes: [
    named("x-request-id"),
    { name: "rewritten", match: { prefix: "/old" }, route: { cluster: "a", prefix_rewrite: "/new" } },
    { name: "any", match: { prefix: "/" }, route: { cluster: "a" } },
  ],
  requests: [
    asked("cleaned", ...cleaned),
    asked("cleaned, forwarded for inside", ...cleaned, ["x-forwarded-for", "10.0.0.1"]),
    asked("id", ["x-request-id", "mine"]),
    asked("id, forwarded for inside", ["x-request-id", "mine"], ["x-forwarded-for", "10.0.0.1"]),
    { name: "rewritten", path: "/old", headers: [["x-envoy-original-path", "/forged"]] },
  ],
});

/** Lists that proxies in front may have written, and what is no such list. */
const lists = [
  "192.0.2.1",
  "192.0.2.1, 198.51.100.2,203.0.113.3",
  "2001:DB8:0::02",
  "[2001:db8::2]:80",
  "::ffff:192.0.2.1",
  "192.0.2.1:99",
  "junk",
  "192.0.2.1, junk",
  "",
  "192.0.2.1,",
  "192.0.2.1,,",
  "01.2.3.4",
  " 192.0.2.1 ",
];

const originating: readonly CaseRequest[] = [
  asked("not forwarded"),
  ...lists.map((list) => asked(`for ${JSON.stringify(list)}`, ["x-forwarded-for", list])),
  asked("for two lines", ["x-forwarded-for", "192.0.2.1"], ["x-forwarded-for", "198.51.100.2"]),
];

/** Who is told to be the downstream, to routes and to a filter, and whom it is hashed by. */
const origin = (name: string, manager: Fields): CaseGroup => ({
  name: `origin: ${name}`,
  manager,
  filters: [telling("x-filter", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")],
  routes: [
    {
      match: { prefix: "/" },
      route: { cluster: "ring", hash_policy: [{ connection_properties: { source_ip: true } }] },
      request_headers_to_add: [
        { header: { key: "x-remote", value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" } },
        { header: { key: "x-direct", value: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" } },
      ],
    },
  ],
  requests: originating,
});

/** By which scheme a request came, as far as its sender is believed. */
const scheme = (name: string, manager: Fields): CaseGroup => ({
  name: `scheme: ${name}`,
  manager,
  filters: [telling("x-filter", "%REQ(:SCHEME)%")],
  routes: [
    {
      match: { prefix: "/redirected" },
      redirect: { path_redirect: "/there" },
    },
    {
      name: "matched",
      match: { prefix: "/matched", headers: [{ name: ":scheme", string_match: { exact: "https" } }] },
      route: { cluster: "a" },
    },
    {
      match: { prefix: "/" },
      route: { cluster: "a" },
      request_headers_to_add: [
        { header: { key: "x-scheme", value: "%REQ(:SCHEME)%" } },
        { header: { key: "x-forwarded-proto", value: "https" }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
      ],
    },
  ],
  requests: [
    asked("not forwarded"),
    ...["https", "HTTPS", "http", "ws", "https, http"].map((proto) => asked(proto, ["x-forwarded-proto", proto])),
    ...["https", "HTTPS", "ws"].flatMap((proto) =>
      ["/matched", "/redirected"].map((path) => ({
        name: `${proto} ${path}`,
        path,
        headers: [["x-forwarded-proto", proto]] as const,
      })),
    ),
  ],
});

export const originatingCases: readonly CaseGroup[] = [
  {
    name: "authority",
    filters: [telling("x-filter", "%REQ(:AUTHORITY)%")],
    routes: [
      {
        name: "exact",
        match: { prefix: "/match", headers: [{ name: ":authority", string_match: { exact: "Example.ORG" } }] },
        route: { cluster: "a" },
      },
      {
        name: "header",
        match: { prefix: "/match", headers: [{ name: "host", string_match: { exact: "example.org" } }] },
        route: { cluster: "a" },
      },
      ...["/", "/rewritten"]
        .map((prefix) => ({
          match: { prefix },
          route: { cluster: "a", ...(prefix === "/" ? {} : { host_rewrite_literal: "New.Example" }) },
          request_headers_to_add: [
            { header: { key: "x-authority", value: "%REQ(:AUTHORITY)%" } },
            { header: { key: "x-host", value: "%REQ(HOST)%" } },
          ],
          response_headers_to_add: [{ header: { key: "x-sent", value: "%REQ(:AUTHORITY)%" } }],
        }))
        .reverse(),
    ],
    requests: ["example.org", "Example.ORG", "EXAMPLE.org:80"].flatMap((host) =>
      ["/", "/rewritten", "/match"].map((path) => ({ name: `${host} ${path}`, path, host })),
    ),
  },
  origin("x-forwarded-for", {}),
  origin("x-forwarded-for, a hop in front", { xff_num_trusted_hops: 1 }),
  origin("the connection", { use_remote_address: true }),
  origin("the connection, a hop in front", { use_remote_address: true, xff_num_trusted_hops: 1 }),
  scheme("x-forwarded-proto", {}),
  scheme("the connection", { use_remote_address: true }),
  scheme("the connection, a hop in front", { use_remote_address: true, xff_num_trusted_hops: 1 }),
  scheme("overwritten", { scheme_header_transformation: { scheme_to_overwrite: "https" } }),
  edge("none", {}),
  edge("remote address", { use_remote_address: true }),
  edge("a hop in front", { use_remote_address: true, xff_num_trusted_hops: 1 }),
  edge("ids are kept", { use_remote_address: true, preserve_external_request_id: true }),
  edge("inside", { use_remote_address: true, internal_address_config }),
  edge("inside, forwarded", { internal_address_config }),
  {
    name: "forwarded-port",
    manager: { use_remote_address: true, append_x_forwarded_port: true },
    // Whose port it is differs from run to run.
    routes: [
      { ...named("x-forwarded-port"), request_headers_to_remove: ["x-forwarded-port"] },
      { match: { prefix: "/" }, route: { cluster: "a" }, request_headers_to_remove: ["x-forwarded-port"] },
    ],
    requests: [asked("none"), asked("forged", ["x-forwarded-port", "mine"])],
  },
  {
    name: "client-cert",
    manager: { forward_client_cert_details: "SANITIZE" },
    filters: [telling("x-copy", "%REQ(X-FORWARDED-CLIENT-CERT)%")],
    routes: [{ match: { prefix: "/" }, route: { cluster: "a" } }],
    requests: [
      asked("one", ["x-forwarded-client-cert", "By=spiffe://a"]),
      asked("two", ["X-Forwarded-Client-Cert", "By=a"], ["x-a", "1"], ["x-forwarded-client-cert", "By=b"]),
    ],
  },
  {
    name: "filters-behind-normalization",
    manager: { normalize_path: true, merge_slashes: true },
    filters: [telling("x-path", "%REQ(:PATH)%")],
    routes: [
      {
        match: { prefix: "/less" },
        route: { cluster: "a" },
        typed_per_filter_config: { telling: { ...filterConfig, disabled: true } },
      },
      { match: { prefix: "/" }, route: { cluster: "a" } },
    ],
    requests: ["/less", "/more/../less", "//less", "/less/../more"].map((path) => ({ name: path, path })),
  },
];
