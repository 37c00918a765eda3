/** Certificates are read when the configuration comes in; what cannot be used is told by field and file. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import tls from "node:tls";
import { type CompiledListener, compileListener } from "../config/listener.ts";
import { eventually, raw, routesTo, startAnswering, startRig, staticCluster } from "../fixture.ts";
import { readCertificates } from "./certificates.ts";
import { createAuthority } from "./fixture.ts";

const types = "type.googleapis.com/envoy.extensions";
const folder = mkdtempSync(join(tmpdir(), "wherry-certificates-"));
after(() => rmSync(folder, { recursive: true }));

interface Files {
  readonly cert: string;
  readonly key: string;
}

/** One chain for each pair of names in the folder. */
function listenerOf(pairs: readonly Files[], common: object = {}): CompiledListener {
  const manager = {
    "@type": `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    rds: { route_config_name: "routes", config_source: { ads: {} } },
    http_filters: [{ name: "router", typed_config: { "@type": `${types}.filters.http.router.v3.Router` } }],
  };
  const tls_certificates = pairs.map(({ cert, key }) => ({
    certificate_chain: { filename: join(folder, cert) },
    private_key: { filename: join(folder, key) },
  }));
  const typed_config = {
    "@type": `${types}.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: { tls_certificates, ...common },
  };
  return compileListener({
    name: "test",
    address: { socket_address: { address: "127.0.0.1", port_value: 1 } },
    filter_chains: [
      { filters: [{ name: "http", typed_config: manager }], transport_socket: { name: "tls", typed_config } },
    ],
  });
}

async function writeCertificates(): Promise<void> {
  const authority = await createAuthority();
  for (const name of ["a", "b"]) {
    const { cert, key } = await authority.issue(`${name}.example.org`);
    writeFileSync(join(folder, `${name}.pem`), cert);
    writeFileSync(join(folder, `${name}.key`), key);
  }
  writeFileSync(join(folder, "text.pem"), "no certificate");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const locked = { type: "pkcs8", format: "pem", cipher: "aes-128-cbc", passphrase: "secret" } as const;
  writeFileSync(join(folder, "locked.key"), privateKey.export(locked));
}

const context = "Listener.filter_chains[0].transport_socket.typed_config.common_tls_context";

test("readCertificates() names the field, the file and why it cannot be used", async () => {
  await writeCertificates();
  const refused = (listener: CompiledListener, ...parts: readonly string[]): void =>
    assert.throws(
      () => readCertificates(listener),
      ({ message }: Error) => parts.every((part) => message.includes(part)),
    );
  const at = (name: string): string => join(folder, name);
  const first = `${context}.tls_certificates[0]`;
  refused(
    listenerOf([{ cert: "none.pem", key: "a.key" }]),
    `Cannot read ${first}.certificate_chain (${at("none.pem")}): ENOENT`,
  );
  refused(listenerOf([{ cert: "a.pem", key: "." }]), `Cannot read ${first}.private_key (${at(".")}): EISDIR`);
  refused(
    listenerOf([{ cert: "text.pem", key: "a.key" }]),
    `Cannot use ${first}.certificate_chain (${at("text.pem")}): it is not a PEM certificate`,
  );
  refused(
    listenerOf([{ cert: "a.pem", key: "text.pem" }]),
    `Cannot use ${first}.private_key (${at("text.pem")}): it is not a PEM private key`,
  );
  refused(
    listenerOf([{ cert: "a.pem", key: "a.pem" }]),
    `Cannot use ${first}.private_key (${at("a.pem")}): it is not a PEM private key`,
  );
  refused(
    listenerOf([{ cert: "a.pem", key: "locked.key" }]),
    `Cannot use ${first}.private_key (${at("locked.key")}): its password is missing or wrong`,
  );
  refused(
    listenerOf([{ cert: "a.pem", key: "b.key" }]),
    "key values mismatch",
    `(is ${first}.private_key (${at("b.key")}) the key of it?)`,
  );
  const second = [
    { cert: "a.pem", key: "a.key" },
    { cert: "b.pem", key: "none.key" },
  ];
  refused(listenerOf(second), `Cannot read ${context}.tls_certificates[1].private_key (${at("none.key")}): ENOENT`);
  const validation_context = { trusted_ca: { filename: at("text.pem") } };
  refused(
    listenerOf([{ cert: "a.pem", key: "a.key" }], { validation_context }),
    `Cannot use ${context}.validation_context.trusted_ca (${at("text.pem")}): it is not a PEM certificate`,
  );
  readCertificates(listenerOf([{ cert: "a.pem", key: "a.key" }]));
});

test("A chain whose certificates were read needs their files no more", async () => {
  await writeCertificates();
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const listener = listenerOf([
    { cert: "a.pem", key: "a.key" },
    { cert: "b.pem", key: "b.key" },
  ]);
  readCertificates(listener);
  for (const name of ["a.pem", "a.key", "b.pem", "b.key"]) rmSync(join(folder, name));
  const clusters = [staticCluster("up", [upstream.port])];
  await using rig = await startRig({ listener, routes: routesTo("up"), clusters });
  const subject = await new Promise<string>((resolve, reject) => {
    const options = { host: "127.0.0.1", port: rig.port, servername: "b.example.org", rejectUnauthorized: false };
    const socket = tls.connect(options, () => {
      const { CN } = socket.getPeerCertificate().subject;
      resolve(String(CN));
      socket.destroy();
    });
    socket.on("error", reject);
  });
  assert.equal(subject, "b.example.org");
});

test("A connection whose set-up fails is closed, logged and counted, and the next one is served", async () => {
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  // Nobody read its certificates when it came.
  const broken = listenerOf([{ cert: "none.pem", key: "none.key" }]);
  const clusters = [staticCluster("up", [upstream.port])];
  await using rig = await startRig({ listener: { chains: [] }, routes: routesTo("up"), clusters });
  await using brokenRig = await startRig({ listener: { chains: broken.chains }, routes: routesTo("up"), clusters });
  const socket = connect(brokenRig.port, "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => socket.once("close", () => resolve()).resume());
  await eventually(() => brokenRig.listeners.connectionCount === 0, "the connection is gone");
  assert.equal(brokenRig.counters.setUpErrors, 1);
  assert.match(await raw(rig.port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), /^HTTP\/1\.1 200 /);
});
