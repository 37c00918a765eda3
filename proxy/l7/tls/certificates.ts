/**
 * The certificates of a listener's chains: read once, when the configuration comes in.
 *
 *   CompiledListener ─▶ readCertificates() (throws: the configuration is refused) ─▶ tlsOf(chain) ─▶ listener.ts
 *
 * Invariant: a listener that went through readCertificates() reads no file at a connection.
 */
import { alpnOf } from "../chain-choice.ts";
import { type CompiledChain, type CompiledListener, chainsOf } from "../config/listener.ts";
import { createDownstreamTLS } from "./context.ts";
import type { DownstreamTLS, DownstreamTLSSpec } from "./types.ts";

const made = new WeakMap<DownstreamTLSSpec, DownstreamTLS>();

/** Reads the certificates of all chains. Throws TLSError with the field, the file and the reason. */
export function readCertificates(listener: CompiledListener): void {
  for (const chain of chainsOf(listener)) tlsOf(chain);
}

/** What ends TLS of a chain; undefined for plaintext. Read now if it was not before: may throw TLSError. */
export function tlsOf({ tls: spec, filter }: CompiledChain): DownstreamTLS | undefined {
  if (spec === undefined) return undefined;
  let tls = made.get(spec);
  if (tls === undefined) {
    tls = createDownstreamTLS(spec, filter.kind === "http" ? alpnOf(filter.options.codec) : []);
    made.set(spec, tls);
  }
  return tls;
}
