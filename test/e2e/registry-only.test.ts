/**
 * A cluster that lets nothing out: connections to outside are refused at once, and outside names resolve all the same,
 * by UDP and by TCP, through a resolver on the host's loopback.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import dnsPacket, { type Answer } from "dns-packet";
import { createTestCluster, type TestCluster } from "./cluster.ts";

const client = join(import.meta.dirname, "egress-client.ts");

/** The TC flag (RFC 1035 §4.1.1). */
const truncated = 0x200;

/** Thirty answers: more than UDP carries. */
const many: readonly Answer[] = Array.from({ length: 30 }, (_, at) => ({
  name: "big.example.com",
  type: "TXT" as const,
  ttl: 60,
  data: Buffer.from(`${at} ${"x".repeat(200)}`),
}));

function reply(query: Buffer, isStream: boolean): Buffer {
  const { id, questions = [] } = dnsPacket.decode(query);
  const isBig = questions[0]?.name.toLowerCase() === "big.example.com";
  const small: Answer = { name: questions[0]?.name ?? "", type: "A", ttl: 60, data: "192.0.2.7" };
  const answers = isBig ? (isStream ? [...many] : []) : [small];
  return dnsPacket.encode({
    type: "response",
    ...(id === undefined ? {} : { id }),
    flags: isBig && !isStream ? truncated : 0,
    questions,
    answers,
  });
}

/** A resolver on loopback: one port for both transports. */
async function startUpstream(): Promise<{ udp: DatagramSocket; tcp: Server; port: number; streamed: () => number }> {
  let streamed = 0;
  const tcp = createServer((socket: Socket) => {
    let pending: Buffer = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const end = 2 + pending.readUInt16BE(0);
        const answer = reply(pending.subarray(2, end), true);
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
        streamed += 1;
        pending = pending.subarray(end);
      }
    });
  });
  tcp.listen({ host: "127.0.0.1", port: 0 });
  await once(tcp, "listening");
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket("udp4");
  udp.on("message", (bytes, from) => udp.send(reply(bytes, false), from.port, from.address));
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");
  return { udp, tcp, port, streamed: () => streamed };
}

describe("a cluster with the outbound policy registry-only", () => {
  let cluster: TestCluster;
  let upstream: Awaited<ReturnType<typeof startUpstream>>;

  before(async () => {
    upstream = await startUpstream();
    cluster = createTestCluster();
    const flags = ["--outbound-traffic-policy", "registry-only", "--dns-upstream", `127.0.0.1:${upstream.port}`];
    await cluster.run("up", "--detach", "--nodes", "1", ...flags);
  });

  after(async () => {
    upstream.udp.close();
    upstream.tcp.close();
    await cluster[Symbol.asyncDispose]();
  });

  const inside = (...command: readonly string[]): Promise<string> =>
    cluster.run("sh", "--node", "node1", "--", ...command);

  it("refuses a connection to outside at once, and says why in the log", async () => {
    const found = JSON.parse(await inside(process.execPath, client, "192.0.2.1", "80", "refused")) as {
      how: string;
      ms: number;
    };
    assert.equal(found.how, "ECONNRESET");
    assert.ok(found.ms < 2000, `after ${found.ms} ms`);
    const log = readFileSync(join(cluster.stateHome, "wherry", cluster.name, "logs", "agent-node1.log"), "utf8");
    assert.match(log, /"destination":"192\.0\.2\.1:80","reason":"the outbound traffic policy is registry-only/);
  });

  it("resolves an outside name through the upstream", async () => {
    assert.equal((await inside("dig", "+short", "small.example.com")).trim(), "192.0.2.7");
  });

  it("resolves by TCP what UDP has no room for, through an upstream on the host's loopback", async () => {
    const lines = (await inside("dig", "+short", "TXT", "big.example.com")).trim().split("\n");
    assert.equal(lines.length, many.length);
    assert.equal(upstream.streamed(), 1);
  });
});
