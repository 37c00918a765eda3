/** Who a request comes from, as far as it is believed: addresses, what an edge takes off, what is told of it. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const asked = (name: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name,
  path: "/",
  headers,
});

const filterConfig: Fields = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig" };

/** A filter that copies a header of the request into another. */
const copying = (from: string, to: string): Fields => ({
  name: "copying",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    mutations: { request_mutations: [{ append: { header: { key: to, value: `%REQ(${from})%` } } }] },
  },
});

export const originatingCases: readonly CaseGroup[] = [
  {
    name: "client-cert",
    manager: { forward_client_cert_details: "SANITIZE" },
    filters: [copying("X-FORWARDED-CLIENT-CERT", "x-copy")],
    routes: [{ match: { prefix: "/" }, route: { cluster: "a" } }],
    requests: [
      asked("one", ["x-forwarded-client-cert", "By=spiffe://a"]),
      asked("two", ["X-Forwarded-Client-Cert", "By=a"], ["x-a", "1"], ["x-forwarded-client-cert", "By=b"]),
    ],
  },
  {
    name: "filters-behind-normalization",
    manager: { normalize_path: true, merge_slashes: true },
    filters: [copying(":PATH", "x-path")],
    routes: [
      {
        match: { prefix: "/less" },
        route: { cluster: "a" },
        typed_per_filter_config: { copying: { ...filterConfig, disabled: true } },
      },
      { match: { prefix: "/" }, route: { cluster: "a" } },
    ],
    requests: ["/less", "/more/../less", "//less", "/less/../more"].map((path) => ({ name: path, path })),
  },
];
