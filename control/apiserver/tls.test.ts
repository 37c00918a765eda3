/** A test over real TLS: who a client is comes from a certificate that the authority signed, and from no other. */
// The X.509 library needs this polyfill before it is loaded.
import "reflect-metadata/lite";
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { BasicConstraintsExtension, X509Certificate, X509CertificateGenerator } from "@peculiar/x509";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import { clientCertificates } from "./authn.ts";
import { createApiServer } from "./server.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };

interface Identity {
  readonly cert: string;
  readonly key: string;
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

async function issue(subject: string, issuer: Identity | undefined): Promise<Identity> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.create({
    subject,
    issuer: issuer?.certificate.subject ?? subject,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: algorithm,
    serialNumber: "01",
    ...validity,
    extensions: issuer === undefined ? [new BasicConstraintsExtension(true, undefined, true)] : [],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    cert: certificate.toString("pem"),
    key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`,
    certificate,
    keys,
  };
}

function statusOf(port: number, path: string, identity: Identity | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    const tls = identity === undefined ? {} : { cert: identity.cert, key: identity.key };
    const sent = request(
      { host: "127.0.0.1", port, path, agent: false, rejectUnauthorized: false, ...tls },
      (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
      },
    );
    sent.on("error", reject);
    sent.end();
  });
}

test("createApiServer() over TLS takes certificates of its authority and answers others with 401", async () => {
  const authority = await issue("CN=authority", undefined);
  const stranger = await issue("CN=stranger", undefined);
  const own = await issue("CN=127.0.0.1", authority);
  const admin = await issue("CN=admin,O=system:masters", authority);
  const forged = await issue("CN=admin,O=system:masters", stranger);
  const store = openSqliteStore({ path: ":memory:" });
  const server = createApiServer({
    store,
    clock: new ManualClock(),
    random: seededRandom(1),
    log: silentLogger,
    tls: { key: own.key, cert: own.cert, ca: authority.cert },
    authenticators: [
      (credentials) => {
        const user = clientCertificates(credentials);
        return user?.groups.includes("system:masters") === true ? user : undefined;
      },
    ],
  });
  try {
    await server.start();
    const { port } = (await server.listen({ host: "127.0.0.1", port: 0 })) as AddressInfo;
    assert.equal(await statusOf(port, "/api/v1/namespaces", admin), 200);
    assert.equal(await statusOf(port, "/api/v1/namespaces", forged), 401);
    assert.equal(await statusOf(port, "/api/v1/namespaces", undefined), 401);
    assert.equal(await statusOf(port, "/readyz", undefined), 200);
  } finally {
    await server.close();
    await store.close();
  }
});
