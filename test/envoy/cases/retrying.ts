/** Tries that fail or take too long, and what is done about them. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const to = (name: string, retry_policy: Fields | undefined, more: Fields = {}): Fields => ({
  name,
  match: { prefix: `/${name}` },
  route: { cluster: "a", ...(retry_policy && { retry_policy }), ...more },
});

const backoff: Fields = { retry_back_off: { base_interval: "0.001s", max_interval: "0.002s" } };

const answering = (status: string, path: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name: `${path} ${status}`,
  path,
  headers: [["x-answer-status", status], ...headers],
});

const hedging: Fields = { timeout: "5s", hedge_policy: { hedge_on_per_try_timeout: true } };

const hashPolicy: readonly Fields[] = [{ header: { header_name: "x-user" } }];

const previousHosts: Fields = {
  name: "previous",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
  },
};

/** `first`, `second`: status and delay in ms of each try. */
const trying = (name: string, path: string, ...tries: readonly [first: string, second: string]): CaseRequest => ({
  name,
  path,
  headers: tries.map((what, at) => [`x-answer-try-${at + 1}`, what] as const),
});

export const retryingCases: readonly CaseGroup[] = [
  {
    name: "retries",
    host: { include_request_attempt_count: true },
    routes: [
      to("5xx", { retry_on: "5xx", num_retries: 2, ...backoff }),
      to("gateway", { retry_on: "gateway-error", ...backoff }),
      to("conflict", { retry_on: "retriable-4xx", ...backoff }),
      to("listed", { retry_on: "retriable-status-codes", retriable_status_codes: [418], ...backoff }),
      to("headers", {
        retry_on: "retriable-headers",
        retriable_headers: [{ name: "x-again", present_match: true }],
        ...backoff,
      }),
      to("asked", {
        retry_on: "5xx",
        retriable_request_headers: [{ name: "x-please", present_match: true }],
        ...backoff,
      }),
      to("refused", { retry_on: "connect-failure", num_retries: 1, ...backoff }, { cluster: "refused" }),
      to("none", undefined),
    ],
    requests: [
      answering("503", "/5xx"),
      answering("500", "/5xx"),
      answering("404", "/5xx"),
      answering("200", "/5xx"),
      { ...answering("503", "/5xx"), name: "POST", method: "POST", body: "again" },
      answering("500", "/gateway"),
      answering("502", "/gateway"),
      answering("409", "/conflict"),
      answering("404", "/conflict"),
      answering("418", "/listed"),
      answering("503", "/listed"),
      { ...answering("200", "/headers", ["x-answer-header", "x-again=1"]), name: "by header" },
      answering("200", "/headers"),
      answering("503", "/asked"),
      { ...answering("503", "/asked", ["x-please", "1"]), name: "asked for" },
      answering("200", "/refused"),
      answering("503", "/none"),
    ],
  },
  {
    name: "timeouts",
    routes: [
      to("short", undefined, { timeout: "0.2s" }),
      to("long", undefined, { timeout: "5s" }),
      to("stream", undefined, { timeout: "5s", max_stream_duration: { max_stream_duration: "0.2s" } }),
    ],
    requests: ["/short", "/long", "/stream"].map((path) => ({
      name: path,
      path,
      headers: [["x-answer-delay", "700"]],
    })),
  },
  {
    name: "hedges",
    host: { include_request_attempt_count: true },
    routes: [
      to("hedged", { retry_on: "5xx", per_try_timeout: "0.25s", ...backoff }, hedging),
      to("none-left", { retry_on: "5xx", num_retries: 0, per_try_timeout: "0.25s", ...backoff }, hedging),
      to("short", { retry_on: "5xx", per_try_timeout: "0.25s", ...backoff }, { ...hedging, timeout: "0.7s" }),
      to("plain", { retry_on: "5xx", per_try_timeout: "0.25s", ...backoff }, { timeout: "5s" }),
      to("silent", { retry_on: "reset", num_retries: 0, per_try_idle_timeout: "0.25s" }, { timeout: "5s" }),
      to("again-silent", { retry_on: "5xx", per_try_idle_timeout: "0.25s", ...backoff }, { timeout: "5s" }),
    ],
    requests: [
      trying("second is first", "/hedged", "200 900", "200 0"),
      trying("first is first", "/hedged", "200 1600", "200 1900"),
      trying("second fails", "/hedged", "200 700", "503 0"),
      trying("first fails late", "/hedged", "503 500", "200 700"),
      trying("both fail", "/hedged", "503 500", "500 600"),
      { ...trying("with a body", "/hedged", "200 900", "200 0"), method: "POST", body: "again" },
      trying("no retry left", "/none-left", "200 600", "200 0"),
      trying("route timeout", "/short", "200 1500", "200 1500"),
      trying("without hedging", "/plain", "200 600", "200 0"),
      trying("without hedging, both late", "/plain", "200 600", "200 600"),
      trying("silent", "/silent", "200 900", "200 0"),
      trying("silent, again", "/again-silent", "200 900", "200 0"),
    ],
  },
  {
    name: "hashed-retries",
    host: { include_request_attempt_count: true },
    routes: ["ring", "maglev"].flatMap((cluster) => [
      to(`${cluster}-stays`, { retry_on: "5xx", ...backoff }, { cluster, hash_policy: hashPolicy }),
      to(
        `${cluster}-moves`,
        { retry_on: "5xx", retry_host_predicate: [previousHosts], host_selection_retry_max_attempts: 20, ...backoff },
        { cluster, hash_policy: hashPolicy },
      ),
    ]),
    requests: ["ring-stays", "ring-moves", "maglev-stays", "maglev-moves"].flatMap((name) =>
      ["one", "two", "three", "four"].map((user) => ({
        name: `${name} ${user}`,
        path: `/${name}`,
        headers: [
          ["x-user", user],
          ["x-answer-try-1", "503 0"],
          ["x-answer-try-2", "200 0"],
        ] as const,
      })),
    ),
  },
];
