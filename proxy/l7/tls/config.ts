/**
 * Envoy's transport sockets → TLS specs. Pure: files are named, not read.
 *
 *   transport_socket of a filter chain or a cluster ─▶ readDownstreamTLS(), readUpstreamTLS() ─▶ context.ts
 *
 * Secrets over SDS are refused: certificates come from files or inline text.
 * Source: envoy.extensions.transport_sockets.tls.v3.
 */
import type { SecureVersion } from "node:tls";
import type { Reader } from "../config/reader.ts";
import type { CertificateSpec, DataSource, DownstreamTLSSpec, SANMatcher, TLSSpec, UpstreamTLSSpec } from "./types.ts";

const prefix = "type.googleapis.com/envoy.extensions.transport_sockets";
const downstreamType = `${prefix}.tls.v3.DownstreamTlsContext`;
const upstreamType = `${prefix}.tls.v3.UpstreamTlsContext`;
const plainType = `${prefix}.raw_buffer.v3.RawBuffer`;

/** TLS of a filter chain; undefined for raw_buffer. `socket` is the reader of the whole `transport_socket`. */
export function readDownstreamTLS(socket: Reader): DownstreamTLSSpec | undefined {
  const context = readSocket(socket, downstreamType);
  if (context === undefined) return undefined;
  const common = readCommon(context);
  const requiresClientCertificate = context.flag("require_client_certificate") ?? false;
  // Resumption is the library's: tickets are made and forgotten with the process.
  for (const name of ["disable_stateless_session_resumption", "disable_stateful_session_resumption"])
    context.allow(name, [false], "sessions may always be resumed");
  context.allow("full_scan_certs_on_sni_mismatch", [false], "the first certificate is shown where no name matches");
  context.allow("prefer_client_ciphers", [false], "the order of cipher_suites counts").done();
  if (common.certificates.length === 0)
    throw context.bad("common_tls_context.tls_certificates", "it is empty, wanted at least one");
  if (requiresClientCertificate && common.trustedCA === undefined && common.certificateHashes.length === 0)
    throw context.bad("require_client_certificate", "there is nothing to verify the certificate with");
  return { ...common, requiresClientCertificate };
}

/** TLS of a cluster; undefined for raw_buffer. */
export function readUpstreamTLS(socket: Reader): UpstreamTLSSpec | undefined {
  const context = readSocket(socket, upstreamType);
  if (context === undefined) return undefined;
  const common = readCommon(context);
  const serverName = context.text("sni") ?? "";
  if (context.flag("allow_renegotiation") ?? false)
    throw context.unsupported("allow_renegotiation", "renegotiation is never allowed");
  for (const name of ["auto_host_sni", "auto_sni_san_validation"])
    if (context.flag(name) ?? false) throw context.unsupported(name, "the server name is configured by sni");
  context.allow("max_session_keys", [1], "wanted 1").allow("enforce_rsa_key_usage", [false], "wanted false").done();
  if (common.certificates.length > 1)
    throw context.unsupported("common_tls_context.tls_certificates", "more than one client certificate");
  return { ...common, serverName };
}

/** The ALPN protocols to offer an upstream by what the cluster speaks, where its TLS context names none. */
export function alpnFor(protocol: "http1" | "http2" | "auto" | "downstream"): readonly string[] {
  if (protocol === "http2") return ["h2"];
  return protocol === "auto" ? ["h2", "http/1.1"] : [];
}

function readSocket(socket: Reader, type: string): Reader | undefined {
  const config = socket.ignore("name").wantObject("typed_config");
  socket.done();
  const found = config.oneOf("@type", [type, plainType]);
  if (found === plainType) {
    config.done();
    return undefined;
  }
  if (found === undefined) throw config.bad("@type", `it is not there, wanted ${type}`);
  return config;
}

function readCommon(context: Reader): TLSSpec {
  const common = context.object("common_tls_context");
  const none = { trustedCA: undefined, sans: [], certificateHashes: [] };
  if (common === undefined)
    return { certificates: [], ...none, alpn: [], minVersion: undefined, maxVersion: undefined, ciphers: [] };
  for (const name of ["tls_certificate_sds_secret_configs", "validation_context_sds_secret_config"])
    if (common.has(name)) throw common.unsupported(name, "wanted certificates from files or inline");
  if (common.has("combined_validation_context"))
    throw common.unsupported("combined_validation_context", "wanted validation_context");
  const params = common.object("tls_params");
  const spec: TLSSpec = {
    certificates: common.list("tls_certificates").map(readCertificate),
    ...readValidation(common.object("validation_context")),
    alpn: readALPN(common),
    minVersion: versionOf(params, "tls_minimum_protocol_version"),
    maxVersion: versionOf(params, "tls_maximum_protocol_version"),
    ciphers: readCiphers(params),
  };
  params?.done();
  common.done();
  return spec;
}

/** Names of 1 to 255 bytes (RFC 7301 §3.1). */
function readALPN(common: Reader): readonly string[] {
  const names = common.texts("alpn_protocols");
  if (names.some((name) => name.length === 0 || Buffer.byteLength(name) > 255))
    throw common.bad("alpn_protocols", "a name is empty or over 255 bytes");
  return names;
}

/** Of TLS 1.2: what TLS 1.3 has cannot be chosen, as in Envoy. */
function readCiphers(params: Reader | undefined): readonly string[] {
  const names = (params?.texts("cipher_suites") ?? []).flatMap(suitesOf);
  const other = names.find((name) => name.startsWith("TLS_"));
  if (other !== undefined) throw params!.bad("cipher_suites", `${other} is of TLS 1.3, wanted ciphers of TLS 1.2`);
  return names;
}

/** `[A|B]`: either of them, whichever the peer likes more; here the first. */
function suitesOf(text: string): readonly string[] {
  return text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1).split("|") : [text];
}

function readCertificate(reader: Reader): CertificateSpec {
  const chain = readSource(reader, "certificate_chain");
  const key = readSource(reader, "private_key");
  if (chain === undefined) throw reader.bad("certificate_chain", "it is not there");
  if (key === undefined) throw reader.bad("private_key", "it is not there");
  const passphrase = readSource(reader, "password");
  reader.done();
  return { chain, key, passphrase };
}

function readValidation(reader: Reader | undefined): Pick<TLSSpec, "trustedCA" | "sans" | "certificateHashes"> {
  if (reader === undefined) return { trustedCA: undefined, sans: [], certificateHashes: [] };
  const trustedCA = readSource(reader, "trusted_ca");
  const typed = reader.list("match_typed_subject_alt_names").map(readTypedSAN);
  const untyped = reader.list("match_subject_alt_names").map((one) => ({
    type: "any" as const,
    matches: readStringMatch(one),
  }));
  const hashes = reader.texts("verify_certificate_hash").map((hash) => hash.replaceAll(":", "").toLowerCase());
  const trust = reader.oneOf("trust_chain_verification", ["VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"]);
  if (trust === "ACCEPT_UNTRUSTED")
    throw reader.unsupported("trust_chain_verification", "ACCEPT_UNTRUSTED, wanted VERIFY_TRUST_CHAIN");
  const sans = [...typed, ...untyped];
  if (sans.length > 0 && trustedCA === undefined)
    throw reader.bad("trusted_ca", "it is not there, so that no name of a certificate means anything");
  reader.done();
  return { trustedCA, sans, certificateHashes: hashes };
}

const sanTypes: Readonly<Record<string, SANMatcher["type"]>> = {
  DNS: "DNS",
  URI: "URI",
  IP_ADDRESS: "IP",
  EMAIL: "EMAIL",
};

function readTypedSAN(reader: Reader): SANMatcher {
  const type = reader.oneOf("san_type", Object.keys(sanTypes));
  if (type === undefined) throw reader.bad("san_type", "it is not there");
  const matches = readStringMatch(reader.wantObject("matcher"));
  reader.done();
  return { type: sanTypes[type]!, matches };
}

/** The forms of a StringMatcher that need no regular expression. */
function readStringMatch(reader: Reader): (value: string) => boolean {
  const ignoresCase = reader.flag("ignore_case") ?? false;
  const fold = (text: string): string => (ignoresCase ? text.toLowerCase() : text);
  const forms = {
    exact: (value: string, wanted: string) => value === wanted,
    prefix: (value: string, wanted: string) => value.startsWith(wanted),
    suffix: (value: string, wanted: string) => value.endsWith(wanted),
    contains: (value: string, wanted: string) => value.includes(wanted),
  };
  for (const [name, test] of Object.entries(forms)) {
    if (!reader.has(name)) continue;
    const wanted = fold(reader.wantText(name));
    reader.done();
    return (value) => test(fold(value), wanted);
  }
  throw reader.unsupported("safe_regex", "wanted one of exact, prefix, suffix and contains");
}

function readSource(reader: Reader, name: string): DataSource | undefined {
  const source = reader.object(name);
  if (source === undefined) return undefined;
  const path = source.text("filename");
  const inline = source.text("inline_string");
  const bytes = source.text("inline_bytes");
  source.done();
  const field = reader.at(name);
  if (path !== undefined && path !== "") return { kind: "file", path, field };
  if (inline !== undefined && inline !== "") return { kind: "inline", text: inline, field };
  if (bytes !== undefined && bytes !== "")
    return { kind: "inline", text: Buffer.from(bytes, "base64").toString(), field };
  throw reader.bad(name, "wanted one of filename, inline_string and inline_bytes");
}

const versions: Readonly<Record<string, SecureVersion | undefined>> = {
  TLS_AUTO: undefined,
  TLSv1_0: "TLSv1",
  TLSv1_1: "TLSv1.1",
  TLSv1_2: "TLSv1.2",
  TLSv1_3: "TLSv1.3",
};

function versionOf(params: Reader | undefined, name: string): SecureVersion | undefined {
  const version = params?.oneOf(name, Object.keys(versions));
  return version === undefined ? undefined : versions[version];
}
