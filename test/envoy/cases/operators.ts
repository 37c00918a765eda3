/** What %OPERATORS% say in headers of requests, of responses and of answers without an upstream. */
import type { CaseGroup, Fields } from "../types.ts";

const operators = [
  "START_TIME(%Z)",
  "RESPONSE_CODE",
  "RESPONSE_CODE_DETAILS",
  "RESPONSE_FLAGS",
  "RESPONSE_TX_DURATION",
  "UPSTREAM_REQUEST_ATTEMPT_COUNT",
  "BYTES_RECEIVED",
  "BYTES_SENT",
  "LOCAL_REPLY_BODY",
  "UPSTREAM_TRANSPORT_FAILURE_REASON",
  "QUERY_PARAM(a)",
  "UPSTREAM_CLUSTER",
  "ROUTE_NAME",
  "PATH(NQ)",
  "QUERY_PARAMS",
  "GRPC_STATUS",
  "GRPC_STATUS(SNAKE_STRING)",
  "UPSTREAM_PROTOCOL",
  "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
  "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
  "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
  "FILTER_CHAIN_NAME",
  "DOWNSTREAM_TLS_VERSION",
  "DOWNSTREAM_PEER_SUBJECT",
  "REQUESTED_SERVER_NAME",
  "METADATA(ROUTE:com.test:k)",
  "METADATA(ROUTE:com.test)",
  "METADATA(ROUTE:com.test:o:p)",
  "METADATA(VIRTUAL_HOST:com.test:k)",
  "METADATA(CLUSTER:com.test:k)",
  "RESPONSE_TRAILERS_BYTES",
];

const metadata = { filter_metadata: { "com.test": { k: "v", o: { p: [1, "x", true, null] }, n: 1.5 } } };

const adds = (prefix: string): readonly Fields[] =>
  operators.map((operator, at) => ({
    header: { key: `${prefix}-${String(at).padStart(2, "0")}`, value: `${operator.split("(", 1)[0]} [%${operator}%]` },
  }));

const to = (name: string, more: Fields): Fields => ({ name, match: { prefix: `/${name}` }, ...more });

const headerValues: CaseGroup = {
  name: "operators",
  host: { metadata, request_headers_to_add: adds("x-q"), response_headers_to_add: adds("x-r") },
  routes: [
    to("forward", { metadata, route: { cluster: "a" } }),
    to("direct", { direct_response: { status: 202, body: { inline_string: "d" } } }),
    to("redirect", { redirect: { path_redirect: "/x" } }),
    to("refused", { route: { cluster: "refused" } }),
  ],
  requests: [
    { name: "forward", path: "/forward?b=1&a=2" },
    { name: "post", path: "/forward", method: "POST", body: "abc" },
    { name: "grpc", path: "/forward", headers: [["content-type", "application/grpc"]] },
    {
      name: "grpc failed",
      path: "/forward",
      headers: [
        ["content-type", "application/grpc"],
        ["x-answer-header", "grpc-status=7"],
      ],
    },
    { name: "direct", path: "/direct" },
    { name: "redirect", path: "/redirect" },
    { name: "refused", path: "/refused" },
    { name: "no route", path: "/none" },
  ],
};

export const operatorCases: readonly CaseGroup[] = [headerValues];
