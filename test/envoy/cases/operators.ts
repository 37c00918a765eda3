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
];

const adds = (prefix: string): readonly Fields[] =>
  operators.map((operator, at) => ({
    header: { key: `${prefix}-${String(at).padStart(2, "0")}`, value: `${operator.split("(", 1)[0]} [%${operator}%]` },
  }));

const to = (name: string, more: Fields): Fields => ({ name, match: { prefix: `/${name}` }, ...more });

const headerValues: CaseGroup = {
  name: "operators",
  host: { request_headers_to_add: adds("x-q"), response_headers_to_add: adds("x-r") },
  routes: [
    to("forward", { route: { cluster: "a" } }),
    to("direct", { direct_response: { status: 202, body: { inline_string: "d" } } }),
    to("redirect", { redirect: { path_redirect: "/x" } }),
    to("refused", { route: { cluster: "refused" } }),
  ],
  requests: [
    { name: "forward", path: "/forward?b=1&a=2" },
    { name: "post", path: "/forward", method: "POST", body: "abc" },
    { name: "direct", path: "/direct" },
    { name: "redirect", path: "/redirect" },
    { name: "refused", path: "/refused" },
    { name: "no route", path: "/none" },
  ],
};

export const operatorCases: readonly CaseGroup[] = [headerValues];
