/**
 * A certificate authority for tests: makes certificates in memory, with names and SPIFFE IDs.
 *
 *   test ─▶ createAuthority() ─▶ issue(name, uri) ─▶ { cert, key } in PEM
 */
import { webcrypto } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

export interface Authority {
  /** In PEM. */
  readonly cert: string;
  issue(name: string, uri?: string): Promise<{ cert: string; key: string }>;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 86_400_000;
// Long before and after any run.
const notBefore = new Date(Date.UTC(2020, 0, 1));
const notAfter = new Date(notBefore.getTime() + 365 * 30 * dayMs);

export async function createAuthority(): Promise<Authority> {
  const crypto = webcrypto;
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const issuer = "CN=Test Authority";
  let serial = 1;
  const authority = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: "01",
      name: issuer,
      notBefore,
      notAfter,
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, 1, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    },
    crypto,
  );
  return {
    cert: authority.toString("pem"),
    issue: async (name, uri) => {
      const own = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
      const names: x509.JsonGeneralNames = [
        { type: "dns", value: name },
        ...(uri === undefined ? [] : [{ type: "url" as const, value: uri }]),
      ];
      serial++;
      const certificate = await x509.X509CertificateGenerator.create(
        {
          serialNumber: serial.toString(16).padStart(2, "0"),
          subject: `CN=${name}`,
          issuer,
          notBefore,
          notAfter,
          publicKey: own.publicKey,
          signingKey: keys.privateKey,
          signingAlgorithm: algorithm,
          extensions: [new x509.SubjectAlternativeNameExtension(names)],
        },
        crypto,
      );
      const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", own.privateKey)).toString("base64");
      const lines = key.match(/.{1,64}/g)!.join("\n");
      return {
        cert: certificate.toString("pem"),
        key: `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}
