/**
 * TLS of a filter chain and of a cluster: as configured (specs), and as used (certificates read, contexts made).
 *
 *   config.ts (pure) ─▶ DownstreamTLSSpec, UpstreamTLSSpec ─▶ context.ts (reads files) ─▶ DownstreamTLS, UpstreamTLS
 */
import type { DialFailure } from "../dial-failure.ts";
import type { SecureVersion, TLSSocket, TlsOptions, ConnectionOptions } from "node:tls";

/** envoy.config.core.v3.DataSource: a file, or the text itself; `field` is its path in the configuration. */
export type DataSource =
  | { readonly kind: "file"; readonly path: string; readonly field: string }
  | { readonly kind: "inline"; readonly text: string; readonly field: string };

export interface CertificateSpec {
  /** The leaf and its intermediates, PEM. */
  readonly chain: DataSource;
  readonly key: DataSource;
  readonly passphrase: DataSource | undefined;
}

/** envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher, and the older list that names no type. */
export interface SANMatcher {
  readonly type: "DNS" | "URI" | "IP" | "EMAIL" | "any";
  readonly matches: (value: string) => boolean;
}

/** envoy.extensions.transport_sockets.tls.v3.CommonTlsContext */
export interface TLSSpec {
  readonly certificates: readonly CertificateSpec[];
  /** Undefined: nothing is verified, as in Envoy. */
  readonly trustedCA: DataSource | undefined;
  /** Any of them, when there are some. */
  readonly sans: readonly SANMatcher[];
  /** SHA-256 of the peer's certificate in lower-case hexadecimal, any of them when there are some. */
  readonly certificateHashes: readonly string[];
  readonly alpn: readonly string[];
  readonly minVersion: SecureVersion | undefined;
  readonly maxVersion: SecureVersion | undefined;
  /** OpenSSL names, for TLS 1.2; empty: the default. */
  readonly ciphers: readonly string[];
}

export interface DownstreamTLSSpec extends TLSSpec {
  readonly requiresClientCertificate: boolean;
}

export interface UpstreamTLSSpec extends TLSSpec {
  /** The server name sent; empty: none. */
  readonly serverName: string;
}

/** A chain's side, ready for use. */
export interface DownstreamTLS {
  readonly spec: DownstreamTLSSpec;
  /** Downstreams are asked for a certificate; another one shows none. */
  readonly requestsCertificate: boolean;
  options(): TlsOptions;
  /** Why this peer is refused, or undefined. Called once the handshake is done. */
  refuse(socket: TLSSocket): DialFailure | undefined;
}

/** A cluster's side, ready for use. */
export interface UpstreamTLS {
  readonly spec: UpstreamTLSSpec;
  options(): ConnectionOptions;
  refuse(socket: TLSSocket): DialFailure | undefined;
}
