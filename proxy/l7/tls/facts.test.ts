/** What is told of a TLS connection, on loopback with certificates of the test's own. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo } from "node:net";
import { test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { compileTemplate } from "../accesslog/template.ts";
import type { FormatRecord } from "../accesslog/types.ts";
import { distinguishedName, readFacts, tlsFactsOf } from "./facts.ts";
import { createAuthority } from "./fixture.ts";

test("distinguishedName() is the most specific first", () => {
  // As node:crypto gives the subject of a certificate that has its names in SANs alone.
  assert.equal(distinguishedName(undefined), "");
  assert.equal(distinguishedName("C=DE\nOU=x + O=My\\, Org\nCN=client"), "CN=client,O=My\\, Org+OU=x,C=DE");
});

test("Operators tell of both sides of a TLS connection, and go on to when it is gone", async () => {
  const authority = await createAuthority();
  const [server, client] = [
    await authority.issue("server.example"),
    await authority.issue("a.example", "spiffe://td/a"),
  ];
  const listening = createServer({ ...server, ca: authority.cert, requestCert: true, maxVersion: "TLSv1.3" });
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as AddressInfo;
  const accepted = once(listening, "secureConnection");
  const socket = connect({ port, ca: authority.cert, ...client, checkServerIdentity: () => undefined });
  const [side] = (await accepted) as [TLSSocket];
  if (socket.connecting || socket.getPeerX509Certificate() === undefined) await once(socket, "secureConnect");
  const record = {
    connection: { remoteAddress: "", tls: readFacts(side) },
    upstream: { protocol: "HTTP/1.1", socket },
  } as unknown as FormatRecord;
  const render = (text: string): string => compileTemplate(text, (why) => new Error(why)).render(record, "-");
  const rows = [
    [
      "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER%",
      "TLSv1.3 CN=a.example CN=Test Authority",
    ],
    ["%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN% %DOWNSTREAM_PEER_IP_SAN%", "spiffe://td/a a.example -"],
    [
      "%DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_CERT_V_START% %DOWNSTREAM_LOCAL_DNS_SAN%",
      "03 2020-01-01T00:00:00.000Z server.example",
    ],
    ["%UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_DNS_SAN% %UPSTREAM_LOCAL_URI_SAN%", "TLSv1.3 server.example spiffe://td/a"],
  ] as const;
  for (const [text, wanted] of rows) assert.equal(render(text), wanted, text);
  assert.match(render("%DOWNSTREAM_TLS_CIPHER%"), /^TLS_/);
  assert.match(render("%DOWNSTREAM_PEER_FINGERPRINT_256%"), /^[0-9a-f]{64}$/);
  assert.match(render("%DOWNSTREAM_PEER_CERT%"), /^-----BEGIN%20CERTIFICATE-----%0A[^ \n]+%0A$/);
  assert.equal(tlsFactsOf(socket), tlsFactsOf(socket));
  socket.destroy();
  side.destroy();
  listening.close();
  await once(listening, "close");
  for (const [text, wanted] of rows) assert.equal(render(text), wanted, `${text} of one that is gone`);
});
