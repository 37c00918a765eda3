/**
 * What %RESPONSE_CODE_DETAILS% says of a flag where nothing more is known. Pure.
 *
 * Source: Envoy, "Response code details".
 */
const details: Readonly<Record<string, string>> = {
  NR: "route_not_found",
  NC: "cluster_not_found",
  UH: "no_healthy_upstream",
  UF: "upstream_reset_before_response_started{remote_connection_failure}",
  UC: "upstream_reset_before_response_started{connection_termination}",
  UR: "upstream_reset_before_response_started{remote_reset}",
  UO: "upstream_reset_before_response_started{overflow}",
  UT: "response_timeout",
  FI: "fault_filter_abort",
  RL: "local_rate_limited",
  RLSE: "rate_limiter_error",
  SI: "stream_idle_timeout",
  DT: "max_duration_timeout",
  DC: "downstream_remote_disconnect",
  DPE: "downstream_protocol_error",
  UPE: "upstream_reset_before_response_started{protocol_error}",
};

export function detailsOf(flag: string): string | undefined {
  return details[flag];
}
