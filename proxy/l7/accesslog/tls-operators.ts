/**
 * Operators that tell of the TLS of a request's two connections. Pure.
 *
 *   tls/facts.ts (TLSFacts of a connection) ─▶ DOWNSTREAM_PEER_SUBJECT, UPSTREAM_TLS_VERSION, …
 *
 * Source: Envoy's operators of these names; names of a subject or issuer are written by RFC 2253.
 */
import { type TLSFacts, chainOf, distinguishedName, namesOf, tlsFactsOf } from "../tls/facts.ts";
import { compileTime } from "./time.ts";
import type { FormatRecord, Operator, OperatorSpec } from "./types.ts";
import type { X509Certificate } from "node:crypto";

type Of = (record: FormatRecord) => TLSFacts | undefined;
type Certificate = (facts: TLSFacts) => X509Certificate | undefined;

const downstream: Of = ({ connection }) => connection.tls;
const upstream: Of = ({ upstream: stream }) => stream?.socket && tlsFactsOf(stream.socket);
const peer: Certificate = (facts) => facts.peer;
const local: Certificate = (facts) => facts.own;

function of(side: Of, read: (facts: TLSFacts) => string | undefined): Operator {
  return (record) => {
    const facts = side(record);
    return (facts && read(facts)) || undefined;
  };
}

function certificate(side: Of, whose: Certificate, read: (one: X509Certificate) => string): Operator {
  return of(side, (facts) => {
    const one = whose(facts);
    return one && read(one);
  });
}

/** What Envoy tells of each certificate, by the end of the operator's name. */
function sanOperators(prefix: string, side: Of, whose: Certificate): Record<string, OperatorSpec> {
  const names = (type: string): Operator => certificate(side, whose, (one) => namesOf(one, type).join(","));
  return {
    [`${prefix}_URI_SAN`]: names("URI"),
    [`${prefix}_DNS_SAN`]: names("DNS"),
    [`${prefix}_IP_SAN`]: names("IP"),
  };
}

/** "AB:CD" → "abcd" */
const plainHex = (text: string): string => text.replaceAll(":", "").toLowerCase();
const subject = (one: X509Certificate): string => distinguishedName(one.subject);
const issuer = (one: X509Certificate): string => distinguishedName(one.issuer);
const serial = (one: X509Certificate): string => plainHex(one.serialNumber);
const fingerprint1 = (one: X509Certificate): string => plainHex(one.fingerprint);
const fingerprint256 = (one: X509Certificate): string => plainHex(one.fingerprint256);

/** PEM that fits into one word, as in x-forwarded-client-cert. */
function encoded(one: X509Certificate): string {
  const escapes: Readonly<Record<string, string>> = { "\n": "%0A", " ": "%20", "+": "%2B", "/": "%2F", "=": "%3D" };
  return one.toString().replaceAll(/[\n +/=]/g, (character) => escapes[character]!);
}

const ofPeer = (read: (one: X509Certificate) => string): Operator => certificate(downstream, peer, read);
const ofPeerChain = (read: (one: X509Certificate) => string): Operator =>
  ofPeer((one) => chainOf(one).map(read).join(","));
const ofPeerIssuer = (read: (one: X509Certificate) => string): Operator =>
  of(downstream, (facts) => {
    const authority = facts.peer?.issuerCertificate;
    return authority && read(authority);
  });

function validity(read: (one: X509Certificate) => string): OperatorSpec {
  return {
    wantsArgument: false,
    make(argument, fail) {
      const format = compileTime(argument, fail);
      return ofPeer((one) => {
        const ms = Date.parse(read(one));
        return Number.isNaN(ms) ? "" : format(ms);
      });
    },
  };
}

export const tlsOperators: Readonly<Record<string, OperatorSpec>> = {
  DOWNSTREAM_TLS_VERSION: of(downstream, ({ version }) => version),
  DOWNSTREAM_TLS_CIPHER: of(downstream, ({ cipher }) => cipher),
  DOWNSTREAM_PEER_SUBJECT: ofPeer(subject),
  DOWNSTREAM_PEER_ISSUER: ofPeer(issuer),
  DOWNSTREAM_PEER_SERIAL: ofPeer(serial),
  DOWNSTREAM_PEER_FINGERPRINT_1: ofPeer(fingerprint1),
  DOWNSTREAM_PEER_FINGERPRINT_256: ofPeer(fingerprint256),
  DOWNSTREAM_PEER_CERT: ofPeer(encoded),
  DOWNSTREAM_PEER_CERT_V_START: validity(({ validFrom }) => validFrom),
  DOWNSTREAM_PEER_CERT_V_END: validity(({ validTo }) => validTo),
  DOWNSTREAM_PEER_ISSUER_SERIAL: ofPeerIssuer(serial),
  DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256: ofPeerIssuer(fingerprint256),
  DOWNSTREAM_PEER_CHAIN_SERIALS: ofPeerChain(serial),
  DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1: ofPeerChain(fingerprint1),
  DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256: ofPeerChain(fingerprint256),
  ...sanOperators("DOWNSTREAM_PEER", downstream, peer),
  DOWNSTREAM_PEER_EMAIL_SAN: ofPeer((one) => namesOf(one, "EMAIL").join(",")),
  DOWNSTREAM_LOCAL_SUBJECT: certificate(downstream, local, subject),
  ...sanOperators("DOWNSTREAM_LOCAL", downstream, local),
  UPSTREAM_TLS_VERSION: of(upstream, ({ version }) => version),
  UPSTREAM_TLS_CIPHER: of(upstream, ({ cipher }) => cipher),
  UPSTREAM_PEER_SUBJECT: certificate(upstream, peer, subject),
  UPSTREAM_PEER_ISSUER: certificate(upstream, peer, issuer),
  UPSTREAM_PEER_CERT: certificate(upstream, peer, encoded),
  ...sanOperators("UPSTREAM_PEER", upstream, peer),
  ...sanOperators("UPSTREAM_LOCAL", upstream, local),
};
