/**
 * The resolver under connections that only cost: idle ones by the thousand, queries a byte at a time, answers that
 * nobody reads, lengths without their messages. Its memory stays bounded, and others are answered.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import dnsPacket from "dns-packet";

/** Connections at a time: 10,000, or what this user may have open; each takes a descriptor at both ends. */
const many = Math.min(10_000, openFilesMax() - 500);
/** Opened at once. */
const batch = 500;

function openFilesMax(): number {
  const hard = /^Max open files +\S+ +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "";
  return hard === "unlimited" ? Infinity : Number(hard);
}

const query = dnsPacket.encode({
  type: "query",
  id: 7,
  flags: 0x100,
  questions: [{ name: "a.test", type: "A" }],
  additionals: [{ type: "OPT", name: ".", udpPayloadSize: 1232, options: [] }],
});
const framed = Buffer.concat([Buffer.from([0, query.length]), query]);

describe("wherry dns under connections that only cost", { concurrency: false }, () => {
  let folder = "";
  let resolver: ChildProcess;
  let port = 0;
  const open = new Set<Socket>();

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "wherry-dns-tcp-"));
    const addresses = Array.from({ length: 200 }, (_, index) => `    192.0.2.${index} a.test\n`).join("");
    writeFileSync(join(folder, "Corefile"), `.:0 {\n  bind 127.0.0.1\n  hosts {\n${addresses}  }\n}\n`);
    const wherry = join(import.meta.dirname, "..", "..", "wherry");
    const args = ["dns", "-conf", join(folder, "Corefile")];
    resolver = spawn(wherry, args, { stdio: ["ignore", "ignore", "pipe"] });
    const lines = createInterface({ input: resolver.stderr ?? process.stdin });
    for await (const line of lines) {
      const found = /dns:\/\/127\.0\.0\.1:([0-9]+)/.exec(line);
      if (found === null) continue;
      port = Number(found[1]);
      break;
    }
    resolver.stderr?.resume();
  });

  after(async () => {
    for (const socket of open) socket.destroy();
    const exit = once(resolver, "exit");
    resolver.kill("SIGKILL");
    await exit;
    rmSync(folder, { recursive: true });
  });

  const residentBytes = (): number => {
    const status = readFileSync(`/proc/${resolver.pid ?? 0}/status`, "utf8");
    return Number(/^VmRSS:\s+([0-9]+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
  };

  async function openMany(count: number, first: (socket: Socket) => void = () => undefined): Promise<void> {
    for (let opened = 0; opened < count; opened += batch) {
      const some = Array.from({ length: Math.min(batch, count - opened) }, async () => {
        const socket = connect(port, "127.0.0.1");
        open.add(socket);
        socket.on("error", () => socket.destroy());
        socket.once("close", () => open.delete(socket));
        await once(socket, "connect");
        first(socket);
      });
      await Promise.all(some);
    }
  }

  async function closeAll(): Promise<void> {
    const closed = [...open].map((socket) => once(socket, "close"));
    for (const socket of open) socket.destroy();
    await Promise.all(closed);
  }

  /** Answers of both transports, in time for a stub resolver. */
  async function assertServed(): Promise<void> {
    const signal = AbortSignal.timeout(20_000);
    const udp = createSocket("udp4");
    udp.send(query, port, "127.0.0.1");
    const [message] = (await once(udp, "message", { signal })) as [Buffer];
    udp.close();
    assert.equal(dnsPacket.decode(message).rcode, "NOERROR");
    const tcp = connect(port, "127.0.0.1");
    tcp.on("error", () => tcp.destroy());
    tcp.write(framed);
    const [first] = (await once(tcp, "data", { signal })) as [Buffer];
    tcp.destroy();
    assert.equal(dnsPacket.decode(first.subarray(2)).answers?.length, 200);
  }

  it(`serves on beside ${many} idle connections, at less than 10 KB each`, async () => {
    await assertServed();
    const beforeBytes = residentBytes();
    await openMany(many);
    await assertServed();
    assert.equal(open.size, many);
    const each = (residentBytes() - beforeBytes) / many;
    assert.ok(each < 10_000, `${Math.round(each)} bytes a connection`);
    await closeAll();
  });

  it("holds at most one query's bytes of a connection that announces more, and ends it", async () => {
    const beforeBytes = residentBytes();
    const junk = Buffer.alloc(40_000, 0xff);
    // Rounds, because what one leaves behind is garbage that the resolver need not have collected yet.
    const rounds = 8;
    for (let round = 0; round < rounds; round++) {
      await openMany(1000, (socket) => void socket.write(junk));
      const closed = [...open].map((socket) => once(socket, "close"));
      await Promise.all(closed);
    }
    await assertServed();
    const grown = residentBytes() - beforeBytes;
    assert.ok(grown < (rounds * 1000 * junk.length) / 2, `grew by ${Math.round(grown / 1e6)} MB`);
  });

  it("waits for queries that come a byte at a time, and answers them", async () => {
    const answered: Promise<unknown>[] = [];
    await openMany(100, (socket) => void answered.push(once(socket, "data")));
    for (const byte of framed) {
      for (const socket of open) socket.write(Buffer.from([byte]));
      // Another turn, so that the bytes come one by one and others are served between them.
      await assertServed();
    }
    assert.equal((await Promise.all(answered)).length, 100);
    await closeAll();
  });

  it("stops reading from downstreams that do not read, and serves the others", async () => {
    const beforeBytes = residentBytes();
    const flood = Buffer.concat(Array.from({ length: 4000 }, () => framed));
    await openMany(10, (socket) => {
      socket.pause();
      socket.write(flood);
    });
    // Unread answers of all of it would be 10 x 4000 x 3.2 KB, 130 MB.
    for (let round = 0; round < 5; round++) await assertServed();
    assert.ok(residentBytes() - beforeBytes < 100e6, "memory grew");
    await closeAll();
    await assertServed();
  });
});
