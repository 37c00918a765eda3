/** TLS on either side of the engine, end to end on loopback, with certificates made for the test. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import https from "node:https";
import { type AddressInfo, type Socket, connect } from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import type { Cluster as ClusterResource } from "#api/xds/envoy.ts";
import { compileListener } from "../config/listener.ts";
import {
  type Rig,
  eventually,
  raw,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "../fixture.ts";
import { readClientHello } from "./client-hello.ts";
import { type Authority, createAuthority } from "./fixture.ts";

const types = "type.googleapis.com/envoy.extensions";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const hcm = {
  name: "http",
  typed_config: {
    "@type": `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    rds: { route_config_name: "routes", config_source: { ads: {} } },
    http_filters: [{ name: "router", typed_config: { "@type": `${types}.filters.http.router.v3.Router` } }],
  },
};

const tcpFilter = (cluster: string): object => ({
  name: "tcp",
  typed_config: { "@type": `${types}.filters.network.tcp_proxy.v3.TcpProxy`, stat_prefix: "x", cluster },
});

interface Issued {
  readonly cert: string;
  readonly key: string;
}

const certificate = ({ cert, key }: Issued): object => ({
  certificate_chain: { inline_string: cert },
  private_key: { inline_string: key },
});

function downstreamTLS(issued: Issued, more: object = {}, common: object = {}): object {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${types}.transport_sockets.tls.v3.DownstreamTlsContext`,
      common_tls_context: { tls_certificates: [certificate(issued)], ...common },
      ...more,
    },
  };
}

function tlsCluster(name: string, port: number, common: object, more: object = {}): ClusterResource {
  const context = {
    "@type": `${types}.transport_sockets.tls.v3.UpstreamTlsContext`,
    common_tls_context: common,
    ...more,
  };
  return {
    ...staticCluster(name, [port]),
    transport_socket: { name: "envoy.transport_sockets.tls", typed_config: context },
  } as ClusterResource;
}

const trusting = (authority: Authority, names?: readonly object[]): object => ({
  validation_context: {
    trusted_ca: { inline_string: authority.cert },
    ...(names === undefined ? {} : { match_typed_subject_alt_names: names }),
  },
});

async function rigOf(chains: readonly object[], clusters: readonly ClusterResource[], to = "up"): Promise<Rig> {
  const resource = {
    name: "test",
    address: { socket_address: { address: "127.0.0.1", port_value: 1 } },
    filter_chains: chains,
  };
  return startRig({ listener: compileListener(resource), routes: routesTo(to), clusters });
}

/** Status and body of GET / over HTTP/1.1 and TLS; the error's message when the handshake fails. */
async function get(port: number, options: tls.ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const request = https.get({ port, host: "127.0.0.1", agent: false, ...options }, (response) => {
      let text = `${response.statusCode} `;
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve(text));
    });
    request.on("error", (error) => resolve(error.message));
  });
}

test("a TLS chain knows downstreams by the hash of their certificates, with no authority to trust", async () => {
  const authority = await createAuthority();
  const [own, known, other] = [await authority.issue("a"), await authority.issue("b"), await authority.issue("c")];
  const hash = new X509Certificate(known.cert).fingerprint256;
  await using upstream = await startAnswering(ok);
  const validation_context = { verify_certificate_hash: [hash] };
  for (const isRequired of [false, true]) {
    const socket = downstreamTLS(own, { require_client_certificate: isRequired }, { validation_context });
    const chain = { filters: [hcm], transport_socket: socket };
    await using rig = await rigOf([chain], [staticCluster("up", [upstream.port])]);
    const trusted = { ca: authority.cert, checkServerIdentity: () => undefined };
    assert.equal(await get(rig.port, { ...trusted, ...known }), "200 ok");
    assert.doesNotMatch(await get(rig.port, { ...trusted, ...other }), /200/);
    const answer = await get(rig.port, trusted);
    assert.equal(answer === "200 ok", !isRequired, answer);
  }
});

test("A TLS chain ends TLS, agrees on HTTP/2 by ALPN, and tells chains apart by server name", async () => {
  const authority = await createAuthority();
  const a = await authority.issue("a.example.org");
  const b = await authority.issue("b.example.org");
  await using upstream = await startAnswering(ok);
  await using hidden = await startUpstream((socket: Socket) => socket.once("data", () => socket.end("passed")));
  await using rig = await rigOf(
    [
      { filter_chain_match: { server_names: ["a.example.org"] }, transport_socket: downstreamTLS(a), filters: [hcm] },
      { filter_chain_match: { server_names: ["*.pass.org"] }, filters: [tcpFilter("hidden")] },
      { filter_chain_match: { transport_protocol: "tls" }, transport_socket: downstreamTLS(b), filters: [hcm] },
      { filters: [hcm] },
    ],
    [staticCluster("up", [upstream.port]), staticCluster("hidden", [hidden.port])],
  );
  const trust = { ca: authority.cert };
  assert.equal(await get(rig.port, { ...trust, servername: "a.example.org" }), "200 ok");
  assert.equal(await get(rig.port, { ...trust, servername: "b.example.org" }), "200 ok");
  assert.match(await get(rig.port, { ...trust, servername: "c.example.org" }), /altnames/);
  assert.match(await raw(rig.port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), /ok$/);
  const client = http2.connect(`https://127.0.0.1:${rig.port}`, { ...trust, servername: "a.example.org" });
  try {
    const stream = client.request({ ":path": "/" });
    const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    assert.equal(Number(headers[":status"]), 200);
  } finally {
    client.destroy();
  }
  assert.equal(rig.records.at(-1)!.connection.isTLS, true);
  assert.equal(rig.records.at(-1)!.connection.serverName, "a.example.org");
  // Passed through as it came: the upstream sees the ClientHello.
  const passed = tls.connect({ port: rig.port, host: "127.0.0.1", servername: "x.pass.org" });
  passed.on("error", () => undefined);
  await eventually(() => hidden.received.length === 1 && hidden.received[0]!.length > 0, "hello");
  const hello = readClientHello(Buffer.from(hidden.received[0]!, "latin1"));
  assert.equal(hello.kind === "tls" && hello.serverName, "x.pass.org");
  passed.destroy();
});

test("Large bodies arrive whole over TLS, one after the other on each connection, also where they are read slowly", async () => {
  const authority = await createAuthority();
  const issued = await authority.issue("a.example.org");
  const bytes = 1_500_000;
  const body = (index: number): Buffer => Buffer.alloc(bytes, `${index}-`);
  await using upstream = await startUpstream((socket) => {
    socket.on("data", (chunk: Buffer) => {
      const index = Number(/GET \/(\d+) /.exec(chunk.toString("latin1"))![1]);
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
      socket.write(body(index));
    });
  });
  const chain = { transport_socket: downstreamTLS(issued), filters: [hcm] };
  await using rig = await rigOf([chain], [staticCluster("up", [upstream.port])]);
  const wrong = await Promise.all(
    Array.from({ length: 8 }, async (_, client) => {
      const socket = tls.connect({ port: rig.port, host: "127.0.0.1", rejectUnauthorized: false });
      const found: string[] = [];
      for (let round = 0; round < 4; round++) {
        const index = client * 10 + round;
        socket.write(`GET /${index} HTTP/1.1\r\nHost: a\r\n\r\n`);
        let all: Buffer = Buffer.alloc(0);
        const parts: Buffer[] = [];
        let length = 0;
        while (length === 0 || length < all.indexOf("\r\n\r\n") + 4 + bytes) {
          const part = (socket.read() as Buffer | null) ?? undefined;
          if (part === undefined) {
            await once(socket, "readable");
            continue;
          }
          parts.push(part);
          length += part.length;
          if (parts.length === 1) all = part;
          // Half of them let the bytes wait in front of the proxy.
          if (client % 2 === 0 && parts.length % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        all = Buffer.concat(parts);
        if (!all.subarray(all.indexOf("\r\n\r\n") + 4).equals(body(index))) found.push(`/${index}`);
      }
      socket.destroy();
      return found;
    }),
  );
  assert.deepEqual(wrong.flat(), []);
});

test("A protocol's name that no ClientHello could have is refused", async () => {
  const issued = await (await createAuthority()).issue("a");
  for (const name of ["", "é".repeat(128)]) {
    const socket = downstreamTLS(issued, {}, { alpn_protocols: ["h2", name] });
    await assert.rejects(rigOf([{ filters: [hcm], transport_socket: socket }], []), /alpn_protocols.*over 255 bytes/);
  }
});

test("A suite of TLS 1.3 is refused where those of TLS 1.2 are chosen", async () => {
  const issued = await (await createAuthority()).issue("a");
  const tls_params = { cipher_suites: ["TLS_AES_256_GCM_SHA384"] };
  const chain = { filters: [hcm], transport_socket: downstreamTLS(issued, {}, { tls_params }) };
  await assert.rejects(rigOf([chain], []), /cipher_suites.*is of TLS 1\.3/);
});

test("A TLS chain chooses the cipher, by its own order", async () => {
  const issued = await (await createAuthority()).issue("a");
  const cipherOf = async (tls_params: object, options: tls.ConnectionOptions): Promise<string> => {
    const chain = { filters: [hcm], transport_socket: downstreamTLS(issued, {}, { tls_params }) };
    await using rig = await rigOf([chain], [staticCluster("up", [1])]);
    const socket = tls.connect({ port: rig.port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
    try {
      await once(socket, "secureConnect");
      return socket.getCipher().name;
    } finally {
      socket.destroy();
    }
  };
  const [aes128, aes256] = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"];
  const asks = { maxVersion: "TLSv1.2", ciphers: `${aes256}:${aes128}` } as const;
  assert.equal(await cipherOf({}, asks), aes128);
  assert.equal(await cipherOf({ cipher_suites: [aes256, aes128] }, asks), aes256);
  assert.equal(await cipherOf({ cipher_suites: [`[${aes128}|${aes256}]`] }, asks), aes128);
  assert.equal(await cipherOf({}, { minVersion: "TLSv1.3" }), "TLS_AES_128_GCM_SHA256");
  const strong = { minVersion: "TLSv1.3", ciphers: "TLS_AES_256_GCM_SHA384" } as const;
  assert.equal(await cipherOf({ cipher_suites: [aes128] }, strong), "TLS_AES_256_GCM_SHA384");
});

test("A TLS chain wants a certificate that its authority signed, with a name it knows", async () => {
  const authority = await createAuthority();
  const stranger = await createAuthority();
  const server = await authority.issue("a.example.org");
  const spiffe = "spiffe://cluster.local/ns/default/sa/shop";
  const names = [{ san_type: "URI", matcher: { exact: spiffe } }];
  await using upstream = await startAnswering(ok);
  const context = downstreamTLS(server, { require_client_certificate: true }, trusting(authority, names));
  await using rig = await rigOf(
    [{ transport_socket: context, filters: [hcm] }],
    [staticCluster("up", [upstream.port])],
  );
  const trust = { ca: authority.cert, servername: "a.example.org" };
  assert.equal(await get(rig.port, { ...trust, ...(await authority.issue("x", spiffe)) }), "200 ok");
  for (const refused of [{}, await authority.issue("x", "spiffe://other"), await stranger.issue("x", spiffe)])
    assert.doesNotMatch(await get(rig.port, { ...trust, ...refused }), /^200/);
  assert.equal(rig.counters.handshakeErrors, 3);
  assert.equal(rig.records[0]!.connection.peerCertificate, "validated");
});

test("A TLS cluster verifies its endpoints, shows a certificate, and agrees on the protocol", async () => {
  const authority = await createAuthority();
  const issued = await authority.issue("up.example.org");
  const options = { ...issued, ca: authority.cert, requestCert: true, rejectUnauthorized: false, allowHTTP1: true };
  const server = http2.createSecureServer(options, (request, response) => {
    const { authorized } = request.socket as tls.TLSSocket;
    response.end(`${request.httpVersion} ${String(authorized)}`);
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const own = { tls_certificates: [certificate(await authority.issue("client"))] };
  const right = trusting(authority, [{ san_type: "DNS", matcher: { exact: "up.example.org" } }]);
  const auto = { "@type": `${types}.upstreams.http.v3.HttpProtocolOptions`, auto_config: {} };
  const extension = {
    typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": auto },
  };
  const cases: readonly [ClusterResource, RegExp][] = [
    [tlsCluster("up", port, { ...own, ...right }, { sni: "up.example.org" }), /1\.1 true$/],
    [{ ...tlsCluster("up", port, right, { sni: "up.example.org" }), ...extension }, /2\.0 false\r\n/],
    [tlsCluster("up", port, trusting(await createAuthority())), /503 .*UF .*not trusted/s],
    [
      tlsCluster("up", port, trusting(authority, [{ san_type: "DNS", matcher: { exact: "x" } }])),
      /UF .*none of the names/,
    ],
  ];
  try {
    for (const [cluster, expected] of cases) {
      await using rig = await rigOf([{ filters: [hcm] }], [cluster]);
      const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
      const answer = await raw(rig.port, request);
      assert.match(answer, expected);
      await raw(rig.port, request);
    }
  } finally {
    for (const session of sessions) session.destroy();
    server.close();
  }
});

test("readClientHello() never reads beyond its bytes, whatever is cut or changed", async () => {
  const hello = await clientHello("shop.example.org", ["h2", "http/1.1"]);
  const whole = readClientHello(hello);
  assert.deepEqual(whole, { kind: "tls", serverName: "shop.example.org", protocols: ["h2", "http/1.1"] });
  for (let length = 0; length < hello.length; length++)
    assert.equal(readClientHello(hello.subarray(0, length)).kind, "more", `${length} bytes`);
  let seed = 1;
  for (let round = 0; round < 20_000; round++) {
    const copy = Buffer.from(hello);
    for (let change = 0; change < 3; change++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      copy[(seed >>> 8) % copy.length] = seed & 0xff;
    }
    assert.ok(["more", "other", "tls"].includes(readClientHello(copy).kind));
  }
});

test("HTTP/2 connection over TLS goes with a downstream that leaves in the middle of an answer", async () => {
  const big = Buffer.alloc(64 * 1024, "x");
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
      const more = (): void => {
        let takesMore = socket.writable;
        while (takesMore) takesMore = socket.write(big);
      };
      socket.on("drain", more);
      more();
    });
  });
  const authority = await createAuthority();
  const transport_socket = downstreamTLS(await authority.issue("localhost"), {}, { alpn_protocols: ["h2"] });
  await using rig = await rigOf([{ transport_socket, filters: [hcm] }], [staticCluster("up", [upstream.port])]);
  for (let round = 0; round < 5; round++) {
    const curl = spawn("curl", ["-sk", "--http2", `https://127.0.0.1:${rig.port}/`], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const gone = once(curl, "exit");
    // It cannot write what it gets: it ends TLS, and closes with bytes unread.
    await once(curl.stdout, "data");
    curl.stdout.destroy();
    await gone;
    await eventually(() => rig.counters.downstreamOpen === 0, "close");
  }
});

/** The ClientHello that node:tls sends. */
async function clientHello(servername: string, ALPNProtocols: string[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await using sink = await startUpstream((socket) => socket.on("data", (chunk: Buffer) => chunks.push(chunk)));
  const socket = tls.connect({ port: sink.port, host: "127.0.0.1", servername, ALPNProtocols });
  socket.on("error", () => undefined);
  await eventually(() => {
    const bytes = Buffer.concat(chunks);
    return bytes.length > 5 && bytes.length >= 5 + bytes.readUInt16BE(3);
  }, "hello");
  socket.destroy();
  return Buffer.concat(chunks);
}

test("TLS connection whose peer ends before the handshake is done is closed at once", async () => {
  const own = await (await createAuthority()).issue("a.example.org");
  const chain = { filters: [hcm], transport_socket: downstreamTLS(own) };
  const named = { filter_chain_match: { server_names: ["b.example.org"] }, filters: [hcm] };
  // With a name to look for, the end comes before the chain is chosen.
  for (const chains of [[chain], [named, chain]]) {
    await using rig = await rigOf(chains, []);
    // Nothing, and the start of a ClientHello.
    for (const start of ["", "\x16\x03\x01\x01"]) {
      const peer = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
      const closed = once(peer.resume(), "end", { signal: AbortSignal.timeout(5000) });
      peer.end(start, "latin1");
      await closed;
      await eventually(() => rig.listeners.connectionCount === 0, "connection is closed");
      assert.equal(rig.counters.handshakeErrors, 0);
    }
  }
});
