/**
 * TLS specs → what node:tls takes: certificates are read here, once a spec.
 *
 *   DownstreamTLSSpec ─▶ createDownstreamTLS() ─▶ listener.ts        UpstreamTLSSpec ─▶ createUpstreamTLS() ─▶ pool.ts
 *
 * Invariant: a peer is served only after refuse() found nothing: the chain of trust is OpenSSL's part, names and hashes
 * are ours. Without a trusted CA nothing is verified, as in Envoy.
 */
import { readFileSync } from "node:fs";
import { X509Certificate, createPrivateKey } from "node:crypto";
import { isIP } from "node:net";
import { type SecureContext, type SecureContextOptions, type TLSSocket, createSecureContext } from "node:tls";
import { CodedError, messageOf } from "#lib/errors.ts";
import { type DialFailure, refusal } from "../dial-failure.ts";
import { type AlternativeName, alternativeNames } from "./alternative-names.ts";
import type {
  CertificateSpec,
  DataSource,
  DownstreamTLS,
  DownstreamTLSSpec,
  SANMatcher,
  TLSSpec,
  UpstreamTLS,
  UpstreamTLSSpec,
} from "./types.ts";

export type TLSErrorCode =
  | "UNREADABLE" // a file that cannot be read
  | "BAD_CERTIFICATE"; // a certificate or key that OpenSSL does not take

export class TLSError extends CodedError<TLSErrorCode> {}

/** Envoy's default for both ends of a downstream and an upstream connection. */
const minVersionDefault = "TLSv1.2";

/**
 * Envoy's default ciphers of TLS 1.2. The suites of TLS 1.3, which its configuration does not choose, are in the same
 * order: AES with 128 bits and SHA-256 first, the cheapest of them on most processors.
 */
const ciphersDefault = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
];
const suites = ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"];

/** Reads the certificates. Throws TLSError. `alpn` stands in where the spec names no protocols. */
export function createDownstreamTLS(spec: DownstreamTLSSpec, alpn: readonly string[] = []): DownstreamTLS {
  const [first, ...others] = spec.certificates.map((one) => contextOf(spec, one));
  // Names are read now, too: a file may be gone when a connection asks for one.
  const byName = others.map((one, index) => ({ one, names: namesOf(spec.certificates[index + 1]!) }));
  const protocols = spec.alpn.length > 0 ? spec.alpn : alpn;
  const requestsCertificate = spec.trustedCA !== undefined || spec.certificateHashes.length > 0;
  const ALPNProtocols = encodeALPN(protocols);
  return {
    spec,
    requestsCertificate,
    options: () => ({
      isServer: true,
      secureContext: first!,
      requestCert: requestsCertificate,
      rejectUnauthorized: false,
      ALPNProtocols,
      SNICallback: (name, done) => done(null, byName.find(({ names }) => names.has(name))?.one ?? first),
    }),
    refuse: (socket) => {
      if (!requestsCertificate) return undefined;
      const hasCertificate = Object.keys(socket.getPeerCertificate()).length > 0;
      if (!hasCertificate)
        return spec.requiresClientCertificate ? { why: "the downstream showed no certificate" } : undefined;
      return refusePeer(socket, spec);
    },
  };
}

/** Reads the certificates. Throws TLSError. `alpn` stands in where the spec names no protocols. */
export function createUpstreamTLS(spec: UpstreamTLSSpec, alpn: readonly string[] = []): UpstreamTLS {
  const secureContext = contextOf(spec, spec.certificates[0]);
  const protocols = spec.alpn.length > 0 ? spec.alpn : alpn;
  const options = {
    secureContext,
    rejectUnauthorized: false,
    // Names are compared by the spec's matchers alone, as in Envoy.
    checkServerIdentity: () => undefined,
    // An address is no server name (RFC 6066 §3).
    ...(spec.serverName === "" || isIP(spec.serverName) !== 0 ? {} : { servername: spec.serverName }),
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
  };
  return {
    spec,
    options: () => options,
    refuse: (socket) => refusePeer(socket, spec),
  };
}

function contextOf(spec: TLSSpec, certificate: CertificateSpec | undefined): SecureContext {
  const pair = certificate === undefined ? undefined : readPair(certificate);
  const options: SecureContextOptions = {
    minVersion: spec.minVersion ?? minVersionDefault,
    maxVersion: spec.maxVersion ?? "TLSv1.3",
    ciphers: [...suites, ...(spec.ciphers.length === 0 ? ciphersDefault : spec.ciphers)].join(":"),
    honorCipherOrder: true,
    ...(spec.trustedCA === undefined ? {} : { ca: readCA(spec.trustedCA) }),
    ...pair,
  };
  try {
    return createSecureContext(options);
  } catch (error) {
    if (certificate !== undefined && pair !== undefined) refuseUnreadable(certificate, pair);
    const what = certificate === undefined ? "TLS context" : nameOf(certificate.chain);
    const why = messageOf(error);
    const hint = why.includes("key values mismatch") ? ` (is ${nameOf(certificate!.key)} the key of it?)` : "";
    throw new TLSError("BAD_CERTIFICATE", `Cannot use ${what}: ${why}${hint}`, { cause: error });
  }
}

/** What is in the files, as node:tls takes it. */
interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
}

function readPair({ chain, key, passphrase }: CertificateSpec): Pair {
  const pair = { cert: read(chain), key: read(key) };
  return passphrase === undefined ? pair : { ...pair, passphrase: read(passphrase).trim() };
}

/** Throws TLSError that names the one of the two that is no PEM: OpenSSL does not tell which it was. */
function refuseUnreadable({ chain, key }: CertificateSpec, { cert, ...secret }: Pair): void {
  parseFirst(chain, cert);
  try {
    createPrivateKey(secret);
  } catch (error) {
    const isLocked = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(secret.key) && secret.key.includes("ENCRYPTED");
    const why = isLocked ? "its password is missing or wrong" : "it is not a PEM private key";
    throw new TLSError("BAD_CERTIFICATE", `Cannot use ${nameOf(key)}: ${why}`, { cause: error });
  }
}

/** As a ClientHello has them (RFC 7301 §3.1): node:tls would write them anew for each connection. */
function encodeALPN(protocols: readonly string[]): Buffer {
  return Buffer.concat(protocols.flatMap((name) => [Buffer.of(Buffer.byteLength(name)), Buffer.from(name)]));
}

function read(source: DataSource): string {
  if (source.kind === "inline") return source.text;
  try {
    return readFileSync(source.path, "utf8");
  } catch (error) {
    throw new TLSError("UNREADABLE", `Cannot read ${nameOf(source)}: ${messageOf(error)}`, { cause: error });
  }
}

/** node:tls takes any text as certificates that are trusted, and then trusts none. */
function readCA(source: DataSource): string {
  const text = read(source);
  parseFirst(source, text);
  return text;
}

function parseFirst(source: DataSource, text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (error) {
    throw new TLSError("BAD_CERTIFICATE", `Cannot use ${nameOf(source)}: it is not a PEM certificate`, {
      cause: error,
    });
  }
}

/** Where it stands in the configuration, and its file. */
function nameOf(source: DataSource): string {
  return source.kind === "file" ? `${source.field} (${source.path})` : source.field;
}

/** Why the peer is not who it must be, or undefined. */
function refusePeer(socket: TLSSocket, spec: TLSSpec): DialFailure | undefined {
  // Without an authority to trust, the certificate is known by its hash alone.
  if (spec.trustedCA === undefined) return refuseHash(socket, spec);
  const error = verifyErrorOf(socket);
  if (error !== undefined) {
    const what = `X509_verify_cert: certificate verification error at depth ${depthOf(error, socket)}: ${wordsOf(error)}`;
    return refusal(`the peer's certificate is not trusted: ${error}`, what);
  }
  if (spec.sans.length > 0) {
    const names = alternativeNames(socket.getPeerCertificate().subjectaltname ?? "");
    if (!spec.sans.some((matcher) => names.some((name) => isMatch(matcher, name))))
      return refusal(
        "the peer's certificate has none of the names that were wanted",
        `SAN matcher, certificate SANs are [${names.map(({ value }) => value).join(", ")}]`,
      );
  }
  return refuseHash(socket, spec);
}

/** BoringSSL's words for what OpenSSL has codes for; it says what was lacking first, OpenSSL what is lacking last. */
const verifyWords: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "certificate has expired",
  CERT_NOT_YET_VALID: "certificate is not yet valid",
  CERT_REVOKED: "certificate revoked",
  CERT_SIGNATURE_FAILURE: "certificate signature failure",
  DEPTH_ZERO_SELF_SIGNED_CERT: "self signed certificate",
  INVALID_CA: "invalid CA certificate",
  INVALID_PURPOSE: "unsupported certificate purpose",
  SELF_SIGNED_CERT_IN_CHAIN: "self signed certificate in certificate chain",
  UNABLE_TO_GET_ISSUER_CERT: "unable to get issuer certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unable to get local issuer certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unable to get local issuer certificate",
};

function wordsOf(error: string): string {
  return verifyWords[error] ?? error;
}

/** Node.js does not tell which certificate it was: what lacks an authority is the last that the peer sent. */
function depthOf(error: string, socket: TLSSocket): number {
  if (!/^SELF_SIGNED_CERT_IN|^UNABLE_TO_GET_ISSUER/.test(error)) return 0;
  let depth = 0;
  let one = socket.getPeerX509Certificate()?.issuerCertificate;
  for (; one !== undefined && depth < depthMax; one = one.issuerCertificate) depth++;
  return depth;
}

const depthMax = 10;

/** OpenSSL's verdict on the chain of trust; undefined: trusted. */
export function verifyErrorOf(socket: TLSSocket): string | undefined {
  if (socket.authorized) return undefined;
  const told: unknown = socket.authorizationError;
  if (told instanceof Error) return told.message;
  if (typeof told === "string") return told;
  // node:tls asks for the verdict only where it made the socket itself, as a server or a client; here it is asked for
  // the way node:tls does. Whoever cannot be asked is not trusted.
  const { ssl } = socket as unknown as { ssl?: { verifyError?: () => { code?: string } | null | undefined } };
  if (typeof ssl?.verifyError !== "function") return "it could not be verified";
  const error = ssl.verifyError();
  return error === null || error === undefined ? undefined : (error.code ?? "it could not be verified");
}

function refuseHash(socket: TLSSocket, spec: TLSSpec): DialFailure | undefined {
  if (spec.certificateHashes.length === 0) return undefined;
  const hash = socket.getPeerCertificate().fingerprint256?.replaceAll(":", "").toLowerCase() ?? "";
  if (spec.certificateHashes.includes(hash)) return undefined;
  return refusal("the peer's certificate is none of those that were wanted", "cert hash and spki");
}

function isMatch(matcher: SANMatcher, name: AlternativeName): boolean {
  return (matcher.type === "any" || matcher.type === name.type) && matcher.matches(name.value);
}

/** The DNS names that a certificate is for. */
function namesOf({ chain }: CertificateSpec): ReadonlySet<string> {
  const text = parseFirst(chain, read(chain)).subjectAltName ?? "";
  return new Set([...text.matchAll(/DNS:([^,\s"]+)/g)].map((match) => match[1]!.toLowerCase()));
}
