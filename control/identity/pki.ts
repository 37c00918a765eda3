/**
 * The cluster's certificate authority and the certificates of its own components.
 *
 *   state folder pki/ ─▶ openPKI ─▶ CA + one key pair a component, made once, kept with mode 0600
 *
 * EC P-256, ten years for the CA, one year for the rest, renewed at start when less than a month is left.
 * Names follow kubeadm: user in CN, groups in O.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";

/** PEM texts. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface PKI {
  /** PEM text of the CA's certificate. */
  readonly ca: string;
  /** The key pair of a component, made when it is not there or about to expire. */
  issue(name: string, subject: CertificateSubject): Promise<KeyPair>;
}

export interface CertificateSubject {
  readonly user: string;
  readonly groups?: readonly string[];
  /** Host names and IPv4 addresses that the certificate answers for. */
  readonly names?: readonly string[];
}

const dayMs = 86_400_000;

/** Opens the PKI in `dir`, making the CA on first use. */
export async function openPKI(dir: string, clock: Clock, random: Random): Promise<PKI> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const ca = readPair(dir, "ca") ?? writePair(dir, "ca", await (await makers()).makeCA(clock, random));
  return {
    ca: ca.cert,
    async issue(name, subject) {
      const kept = readPair(dir, name);
      if (kept !== undefined && isCurrent(kept, ca, subject, clock.nowMs())) return kept;
      return writePair(dir, name, await (await makers()).makeLeaf(ca, subject, { clock, random }));
    },
  };
}

function readPair(dir: string, name: string): KeyPair | undefined {
  const files = [join(dir, `${name}.crt`), join(dir, `${name}.key`)] as const;
  if (!files.every((file) => existsSync(file))) return undefined;
  return { cert: readFileSync(files[0], "utf8"), key: readFileSync(files[1], "utf8") };
}

/** Writes key first, then certificate, each whole or not at all. */
function writePair(dir: string, name: string, pair: KeyPair): KeyPair {
  for (const [extension, text] of [
    ["key", pair.key],
    ["crt", pair.cert],
  ] as const) {
    const file = join(dir, `${name}.${extension}`);
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  return pair;
}

function isCurrent(pair: KeyPair, ca: KeyPair, subject: CertificateSubject, nowMs: number): boolean {
  const certificate = new X509Certificate(pair.cert);
  if (!certificate.checkIssued(new X509Certificate(ca.cert))) return false;
  // A crash between the two files of a renewal leaves a key that is not the certificate's.
  if (!certificate.checkPrivateKey(createPrivateKey(pair.key))) return false;
  const wanted = [`CN=${subject.user}`, ...(subject.groups ?? []).map((group) => `O=${group}`)];
  if (certificate.subject !== wanted.join("\n")) return false;
  if (Date.parse(certificate.validTo) - nowMs < 30 * dayMs) return false;
  const answers = (name: string): boolean =>
    (isIPv4(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;
  return (subject.names ?? []).every(answers);
}

/** The X.509 library is needed once in a cluster's life, so a restart does not pay for loading it. */
function makers(): Promise<typeof import("./certificates.ts")> {
  return import("./certificates.ts");
}
