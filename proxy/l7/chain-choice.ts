/**
 * Which filter chain of its listener serves a connection, and what must be known of the connection to say so. Pure.
 *
 *   listener.ts ─▶ inspectionOf() ─▶ [inspect.ts] ─▶ chainFor() ─▶ serve.ts
 */
import { findChain } from "./config/chain-match.ts";
import { type CompiledChain, type CompiledListener, chainsForPort } from "./config/listener.ts";
import type { ConnectionInfo } from "./context.ts";
import type { Inspected } from "./inspect.ts";
import type { HTTPOptions } from "./options.ts";

/** What the choice between the chains of `port` depends on. */
export function inspectionOf(listener: CompiledListener, port: number): { wantsTLS: boolean; wantsHTTP: boolean } {
  const chains = chainsForPort(listener, port);
  const hasTLS = chains.some(({ tls }) => tls !== undefined);
  const wantsTLS = chains.some(
    ({ match }) => match.serverNames.length > 0 || match.transport !== "" || (hasTLS && match.protocols.length > 0),
  );
  return { wantsTLS, wantsHTTP: listener.detects && chains.some(({ protocols }) => protocols.length > 0) };
}

export function chainFor(
  listener: CompiledListener,
  info: ConnectionInfo,
  found: Inspected,
): CompiledChain | undefined {
  const facts = {
    address: info.destination?.address ?? info.localAddress ?? "",
    port: info.destination?.port ?? info.localPort ?? 0,
    serverName: found.serverName,
    transport: found.transport,
    protocols: found.protocols,
    sourceAddress: info.remoteAddress,
    sourcePort: info.remotePort ?? 0,
  };
  return findChain(listener.chains, facts) ?? listener.defaultChain;
}

/** What a chain offers by ALPN where its TLS context names nothing. */
export function alpnOf(codec: HTTPOptions["codec"]): readonly string[] {
  if (codec === "http1") return ["http/1.1"];
  return codec === "http2" ? ["h2"] : ["h2", "http/1.1"];
}
