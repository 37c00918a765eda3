/**
 * What is answered when a request fails: status, flag and sentence by what happened. Pure.
 *
 *   exchange.ts, forwarding.ts ─▶ answerToFailure(), answerToTimeout() ─▶ the local reply
 *
 * Invariant: no sentence has an endpoint's address, which is nobody's business outside; the details have it.
 * Source: Envoy's response flags and statuses; 502 where the upstream broke its protocol.
 */
import type { DialFailure } from "./dial-failure.ts";
import type { UpstreamFailure } from "./stream.ts";
import type { ResponseFlag } from "./types.ts";

export interface FailureAnswer {
  readonly status: number;
  readonly flag: ResponseFlag;
  readonly sentence: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** RESPONSE_CODE_DETAILS, for access logs; default by `flag`. */
  readonly details?: string;
}

/** Told to those who might retry: it would be refused again. */
export const overflowed = (cluster: string, what: string): FailureAnswer => ({
  status: 503,
  flag: "UO",
  sentence: `Cannot send request: cluster ${cluster} has all the ${what}`,
  headers: [["x-envoy-overloaded", "true"]],
});

export const noEndpoint = (cluster: string): FailureAnswer => ({
  status: 503,
  flag: "UH",
  sentence: `Cannot send request: cluster ${cluster} has no endpoint that serves`,
});

/** When no further try is made. */
export function answerToFailure(failure: UpstreamFailure, cluster: string): FailureAnswer {
  switch (failure.kind) {
    case "malformed":
      return { status: 502, flag: "UPE", sentence: failure.why };
    case "connect":
      return {
        status: 503,
        flag: "UF",
        sentence: `Cannot connect to an endpoint of ${cluster}: ${withoutAddresses(failure.why)}`,
        details: `upstream_reset_before_response_started{${connectDetails(failure)}}`,
      };
    case "refused":
      return {
        status: 503,
        flag: "UR",
        sentence: `Cannot send request to ${cluster}: the upstream refused the stream`,
      };
    case "reset": {
      const did = resetBy[failure.by ?? "connection"];
      const sentence = `Cannot read response of ${cluster}: the upstream ${did} before its end`;
      return { status: failure.by === "protocol" ? 502 : 503, flag: cutFlag(failure), sentence };
    }
  }
}

function connectDetails({ reason, isTimeout }: DialFailure): string {
  if (isTimeout === true) return "connection_timeout";
  return reason === undefined ? "remote_connection_failure" : `remote_connection_failure|${reason}`;
}

/** What Node.js says of a call that failed: behind the code is whom it was for, an address, a name or a path. */
const systemCall = /^((?:connect|bind|open|getaddrinfo) E[A-Z0-9_]+)\b.*$/s;
/** With or without a port; IPv6 has brackets, or two colons at least. */
const address = /\s?(?:\b\d{1,3}(?:\.\d{1,3}){3}\b|\[[0-9a-f:.]+\])(?::\d+)?|\s(?:[0-9a-f]{0,4}:){2,}[0-9a-f.]+/gi;

function withoutAddresses(why: string): string {
  return why.replace(systemCall, "$1").replaceAll(address, "");
}

const resetBy = { connection: "closed", stream: "reset the stream", protocol: "broke HTTP/2" } as const;

/** What a response is cut by: the stream's reset, the connection's end, or bytes that are not HTTP. */
export function cutFlag(failure: UpstreamFailure): "UR" | "UC" | "UPE" {
  if (failure.kind === "malformed") return "UPE";
  if (failure.kind !== "reset" || failure.by === undefined) return "UC";
  return failure.by === "protocol" ? "UPE" : "UR";
}

/** "stream": the longest time of a stream; "idle" before and behind the end of the request. */
export function answerToTimeout(kind: "route" | "stream" | "idle", hasRequest: boolean): FailureAnswer {
  const cannot = "Cannot finish request:";
  switch (kind) {
    case "route":
      return { status: 504, flag: "UT", sentence: `${cannot} the route's timeout passed` };
    case "stream":
      return { status: 504, flag: "DT", sentence: `${cannot} the longest time of a stream passed` };
    case "idle":
      if (hasRequest) return { status: 504, flag: "SI", sentence: `${cannot} the upstream was silent for too long` };
      return { status: 408, flag: "SI", sentence: `${cannot} the downstream was silent for too long` };
  }
}

/** "idle": no byte moved for a try's idle time. */
export function answerToTryTimeout(kind: "try" | "idle"): FailureAnswer {
  const what = kind === "try" ? "the time of one try passed" : "the upstream was silent for too long in one try";
  const details = kind === "try" ? "upstream_per_try_timeout" : "upstream_per_try_idle_timeout";
  return { status: 504, flag: "UT", sentence: `Cannot finish request: ${what}`, details };
}
