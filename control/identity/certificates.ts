/**
 * Makes certificates. Loaded only when one is to be made.
 *
 * EC P-256; serial numbers of 16 random bytes (RFC 5280 section 4.1.2.2).
 */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { isIPv4 } from "node:net";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import type { CertificateSubject, KeyPair } from "./pki.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 86_400_000;
/** Clocks of a few machines never agree to the second. */
const backdateMs = 5 * 60_000;

/** A self-signed certificate authority, valid for ten years. */
export async function makeCA(clock: Clock, random: Random): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(random),
    name: "CN=wherry-ca",
    notBefore: new Date(clock.nowMs() - backdateMs),
    notAfter: new Date(clock.nowMs() + 3650 * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature, true),
    ],
  });
  return { cert: certificate.toString("pem"), key: await exportKey(keys.privateKey) };
}

/** A key pair signed by `ca` for client and server use, valid for one year. */
export async function makeLeaf(
  ca: KeyPair,
  subject: CertificateSubject,
  { clock, random }: { clock: Clock; random: Random },
): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const issuer = new X509Certificate(ca.cert);
  const names = (subject.names ?? []).map((value) => ({
    type: isIPv4(value) ? ("ip" as const) : ("dns" as const),
    value,
  }));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(random),
    subject: [{ CN: [subject.user] }, ...(subject.groups ?? []).map((group) => ({ O: [group] }))],
    issuer: issuer.subject,
    notBefore: new Date(clock.nowMs() - backdateMs),
    notAfter: new Date(clock.nowMs() + 365 * dayMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await importKey(ca.key),
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth]),
      ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return { cert: certificate.toString("pem"), key: await exportKey(keys.privateKey) };
}

/** A positive serial number of 16 bytes, as hexadecimal text (RFC 5280 section 4.1.2.2). */
function serial(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return Buffer.from(bytes).toString("hex");
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), PemConverter.PrivateKeyTag);
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const bytes = PemConverter.decodeFirst(pem);
  return webcrypto.subtle.importKey("pkcs8", bytes, algorithm, true, ["sign"]);
}
