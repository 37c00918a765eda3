/**
 * `wherry dns` as a process of its own, with a Corefile of the test's, and what it is asked over sockets of loopback.
 *
 *   Corefile, files ─▶ startDNS ─▶ ports; askUDP, askTCP ─▶ decoded responses
 */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import dnsPacket, { type DecodedPacket } from "dns-packet";
import { encodeQuestion } from "../../dns/plugin-fixture.ts";

const wherry = join(import.meta.dirname, "..", "..", "wherry");

/** Runs until the test ends; the port of each scheme. `files` lie beside the Corefile. */
export async function startDNS(
  t: TestContext,
  corefile: string,
  files: Readonly<Record<string, string>> = {},
): Promise<ReadonlyMap<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), "wherry-dns-process-"));
  for (const [name, text] of Object.entries({ ...files, Corefile: corefile })) writeFileSync(join(folder, name), text);
  const args = ["dns", "-conf", join(folder, "Corefile")];
  const child = spawn(wherry, args, { stdio: ["ignore", "ignore", "pipe"] });
  t.after(async () => {
    const exit = child.exitCode === null ? once(child, "exit") : undefined;
    child.kill("SIGKILL");
    await exit;
    rmSync(folder, { recursive: true });
  });
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    const found = [...line.matchAll(/(dns|tls|https):\/\/[^ ]*?:([0-9]+)/g)];
    if (!line.includes("Serving") || found.length === 0) continue;
    child.stderr.resume();
    return new Map(found.map(([, scheme = "", port]) => [scheme, Number(port)]));
  }
  throw new Error(`wherry dns ended: ${said.join("\n")}`);
}

/** The response of exactly the address asked; undefined after a second. */
export async function askUDP(port: number, query: string, address = "127.0.0.1"): Promise<DecodedPacket | undefined> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  try {
    // Connected, so that the kernel hands over nothing of others.
    socket.connect(port, address);
    await once(socket, "connect");
    socket.send(encodeQuestion(query));
    const [message] = (await once(socket, "message", { signal: AbortSignal.timeout(1000) })) as [Buffer];
    return dnsPacket.decode(message);
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}

/** The first response over TCP; rejects when the connection ends without one. */
export async function askTCP(port: number, query: string): Promise<DecodedPacket> {
  const socket = connect(port, "127.0.0.1");
  const message = encodeQuestion(query);
  socket.write(Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]));
  let pending = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, chunk]);
    if (pending.length >= 2 && pending.length >= pending.readUInt16BE(0) + 2) break;
  }
  socket.destroy();
  return dnsPacket.decode(pending.subarray(2, pending.readUInt16BE(0) + 2));
}
