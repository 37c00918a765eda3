/**
 * What is told of a TLS connection in logs and header values: version, cipher, the certificates of both sides.
 *
 *   serve.ts, accesslog/tls-operators.ts (a socket) ─▶ tlsFactsOf() ─▶ TLSFacts
 *
 * Invariant: what was looked at once stays known when the connection is gone.
 */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { alternativeNames } from "./alternative-names.ts";

export interface TLSFacts {
  /** "TLSv1.3" */
  readonly version: string | undefined;
  /** OpenSSL's name. */
  readonly cipher: string | undefined;
  readonly peer: X509Certificate | undefined;
  readonly own: X509Certificate | undefined;
}

const known = new WeakMap<Socket, TLSFacts>();

/** Undefined: it is plaintext. */
export function tlsFactsOf(socket: Socket): TLSFacts | undefined {
  if (!isTLS(socket)) return undefined;
  let facts = known.get(socket);
  if (facts === undefined) {
    facts = readFacts(socket);
    known.set(socket, facts);
  }
  return facts;
}

/** Of a connection whose handshake is done. */
export function readFacts(socket: TLSSocket): TLSFacts {
  let own: X509Certificate | undefined;
  return {
    version: socket.getProtocol() ?? undefined,
    // node:tls gives null for a connection that is gone.
    cipher: (socket.getCipher() as { readonly name?: string } | null)?.name,
    peer: socket.getPeerX509Certificate(),
    get own() {
      return (own ??= socket.getX509Certificate());
    },
  };
}

function isTLS(socket: Socket): socket is TLSSocket {
  return "encrypted" in socket;
}

/** A certificate and those of its authorities, as far as they were sent. */
export function chainOf(leaf: X509Certificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let one: X509Certificate | undefined = leaf; one !== undefined && chain.length < chainMax;) {
    chain.push(one);
    one = one.issuerCertificate;
  }
  return chain;
}

const chainMax = 10;

/** The alternative names of one type. */
export function namesOf(certificate: X509Certificate, type: string): readonly string[] {
  return alternativeNames(certificate.subjectAltName ?? "")
    .filter((name) => name.type === type)
    .map(({ value }) => value);
}

/** "C=DE\nCN=a" → "CN=a,C=DE", as RFC 2253 has it: the most specific first. */
export function distinguishedName(text: string | undefined): string {
  // node:crypto has none for a name without parts, whatever its types say.
  if (text === undefined) return "";
  const relative = (line: string): string => line.split(" + ").reverse().join("+");
  return text.split("\n").reverse().map(relative).join(",");
}
