/**
 * The table of CoreDNS' documented examples (dns/documentation-rows.ts) put to CoreDNS itself: what we promise to say
 * is what it says. Needs its binary: `coredns` in the path, or WHERRY_COREDNS (`go build` of its repository makes it).
 *
 * Left out: what needs an API server, certificates or an interface of its own, and what is asked from other addresses.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import dnsPacket, { type DecodedPacket } from "dns-packet";
import { type Ask, files, formatResponse, type Row, rows } from "../../dns/documentation-rows.ts";
import { encodeQuestion, startUpstream } from "../../dns/plugin-fixture.ts";

const binary = process.env["WHERRY_COREDNS"] ?? "coredns";
const isThere = spawnSync(binary, ["-version"]).status === 0;

function isComparable({ plugin, corefile }: Row): boolean {
  return plugin !== "tls" && !/kubernetes|eth9|tls:|https:|::1\n/.test(corefile);
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

async function ask(port: number, query: string, timeoutMs: number): Promise<DecodedPacket | undefined> {
  const socket = createSocket("udp4");
  try {
    socket.send(encodeQuestion(query, 1232), port, "127.0.0.1");
    const [message] = (await once(socket, "message", { signal: AbortSignal.timeout(timeoutMs) })) as [Buffer];
    return dnsPacket.decode(message);
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}

interface Serving {
  readonly child: ChildProcess;
  readonly port: number;
}

/** CoreDNS on a Corefile; resolves when it has said that it serves. */
async function startCoreDNS(folder: string, corefile: string, attempts = 5): Promise<Serving> {
  writeFileSync(join(folder, "Corefile"), corefile);
  const port = await freePort();
  const args = ["-conf", "Corefile", "-dns.port", String(port)];
  const child = spawn(binary, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said += String(chunk)));
  const serving = new Promise((resolve) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      said += String(chunk);
      if (said.includes("CoreDNS-")) resolve("serving");
    });
  });
  if ((await Promise.race([serving, exited])) === "serving") return { child, port };
  // UDP had the port free, TCP may not have had it.
  if (attempts === 0) throw new Error(`Cannot start CoreDNS: ${said}`);
  return startCoreDNS(folder, corefile, attempts - 1);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

for (const [index, one] of rows.entries()) {
  if (!isComparable(one)) continue;
  const name = `${one.plugin}: example ${index + 1}`;
  test(`CoreDNS says of ${name} what we do`, { skip: isThere ? false : `SKIP no ${binary} here` }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "wherry-coredns-"));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const upstream = await startUpstream(t);
    const corefile = one.corefile.replaceAll("UPSTREAM", `127.0.0.1:${upstream.port}`);
    const { child, port } = await startCoreDNS(folder, corefile);
    try {
      const found: Ask[] = [];
      const isFromHere = (client: string | undefined): boolean =>
        client === undefined ? one.plugin !== "view" : client.startsWith("127.");
      const wanted = one.asks.filter(([, , client]) => isFromHere(client));
      for (const [query, text] of wanted) {
        const packet = await ask(port, query, text === "-" ? 500 : 5000);
        found.push([query, formatResponse(packet, false)]);
      }
      assert.deepEqual(
        found,
        wanted.map(([query, text]) => [query, text.replace(/ \+ .*/, "")]),
      );
    } finally {
      await stop(child);
      rmSync(folder, { recursive: true });
    }
  });
}
