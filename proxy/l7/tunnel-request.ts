/**
 * The request that asks an upstream for the tunnel of a TCP connection. Pure.
 *
 *   config/tunneling.ts (TunnelRequest) + the connection ─▶ tunnelHead() ─▶ tcp-tunnel.ts
 *
 * Invariant: what came from outside, as a server name may have, never ends a line or names more than a host: the host
 * is held to the same rules as one that was received. Source: RFC 9110 §9.3.6.
 */
import type { FormatRecord, Template } from "./accesslog/types.ts";
import type { TCPRecord } from "./context.ts";
import { noBody, plainHop } from "./http1/framing.ts";
import { type RequestHead, parseAuthority } from "./http1/request.ts";
import { HeadersEditor } from "./route/head-editor.ts";
import { mutate } from "./route/mutate.ts";
import type { HeaderMutations } from "./route/types.ts";

/** Envoy's tunneling_config. */
export interface TunnelRequest {
  /** What CONNECT names, with a port or without. */
  readonly hostname: Template;
  readonly mutations: HeaderMutations;
}

/** Throws HTTP1Error when the host is none. */
export function tunnelHead({ hostname, mutations }: TunnelRequest, record: TCPRecord): RequestHead {
  const facts = factsOf(record);
  const named = hostname.render(facts, "");
  const host = parseAuthority(named);
  const editor = new HeadersEditor({ names: ["Host"], keys: ["host"], values: [host] });
  mutate(editor, [mutations], () => facts);
  return {
    method: "CONNECT",
    target: host,
    path: "",
    query: "",
    host,
    protocol: "HTTP/1.1",
    headers: editor.headers,
    hop: plainHop,
    framing: noBody,
  };
}

function factsOf(record: TCPRecord): FormatRecord {
  const { connection, cluster, endpoint, flag, receivedBytes, sentBytes, startMs, durationMs } = record;
  return {
    connection,
    head: undefined,
    cluster,
    endpoint,
    status: 0,
    flag,
    requestBytes: receivedBytes,
    responseBytes: sentBytes,
    startMs,
    durationMs,
    elapsedMs: durationMs,
  };
}
