/**
 * A record as plain fields: an exchange has getters, which a spread would leave behind. Pure.
 */
import type { FormatRecord } from "./types.ts";

export function copyRecord(record: FormatRecord): FormatRecord {
  return {
    connection: record.connection,
    head: record.head,
    received: record.received ?? record.head,
    sentHead: record.sentHead,
    requestId: record.requestId,
    response: record.response,
    cluster: record.cluster,
    endpoint: record.endpoint,
    upstream: record.upstream,
    route: record.route,
    protocol: record.protocol,
    routeName: record.routeName,
    virtualHostName: record.virtualHostName,
    status: record.status,
    flag: record.flag,
    details: record.details,
    requestBytes: record.requestBytes,
    responseBytes: record.responseBytes,
    durationMs: record.durationMs,
    elapsedMs: record.elapsedMs,
    startMs: record.startMs,
    requestMs: record.requestMs,
    responseMs: record.responseMs,
    attempts: record.attempts,
    localReplyBody: record.localReplyBody,
    upstreamFailure: record.upstreamFailure,
    responseTrailers: record.responseTrailers,
  };
}
