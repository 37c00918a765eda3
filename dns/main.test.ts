/** The resolver alone: every transport, reload, shutdown, slow and junk clients. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { silentLogger } from "#lib/log.ts";
import { Resolver } from "./main.ts";

const run = promisify(execFile);
const hosts = (address: string): string => `hosts {\n    ${address} a.test\n    ttl 60\n  }\n`;

interface Running {
  readonly resolver: Resolver;
  readonly folder: string;
  readonly write: (text: string) => void;
  readonly port: (scheme: string) => number;
  readonly dig: (...args: readonly string[]) => Promise<string>;
}

async function start(t: test.TestContext, corefile: string): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), "wherry-dns-"));
  const file = join(folder, "Corefile");
  const pem = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
  if (corefile.includes("tls cert.pem")) {
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", ["req", ...kind, ...names, ...pem], { stdio: "ignore" });
  }
  const write = (text: string): void => writeFileSync(file, text);
  write(corefile);
  const resolver = new Resolver({
    file,
    port: 0,
    log: silentLogger,
    environmentVariable: () => undefined,
    onFatal: (message) => assert.fail(message),
  });
  t.after(async () => {
    await resolver.runtime.close();
    rmSync(folder, { recursive: true });
  });
  await resolver.start();
  const port = (scheme: string): number =>
    [...resolver.runtime.ports].find(([key]) => key.startsWith(`${scheme}://`))?.[1] ?? 0;
  return {
    resolver,
    folder,
    write,
    port,
    dig: async (...args) => {
      const { stdout } = await run("dig", ["@127.0.0.1", "+time=3", "+tries=1", "+short", ...args]);
      return stdout.trim();
    },
  };
}

test("Resolver serves UDP, TCP, TLS and HTTPS alike", async (t) => {
  const block = `{\n  bind 127.0.0.1\n  tls cert.pem key.pem\n  ${hosts("192.0.2.1")}}\n`;
  const plain = `.:0 {\n  bind 127.0.0.1\n  ${hosts("192.0.2.1")}}\n`;
  const { dig, port } = await start(t, `${plain}tls://.:0 ${block}https://.:0 ${block}`);
  const dns = ["-p", String(port("dns"))];
  assert.equal(await dig(...dns, "a.test"), "192.0.2.1");
  assert.equal(await dig(...dns, "+tcp", "a.test"), "192.0.2.1");
  assert.equal(await dig("-p", String(port("tls")), "+tls", "a.test"), "192.0.2.1");
  assert.equal(await dig("-p", String(port("https")), "+https", "a.test"), "192.0.2.1");
  assert.equal(await dig("-p", String(port("https")), "+https-get", "a.test"), "192.0.2.1");
});

test("Resolver serves DNS over plain HTTP where no certificate is given", async (t) => {
  const { dig, port } = await start(t, `https://.:0 {\n  bind 127.0.0.1\n  ${hosts("192.0.2.1")}}\n`);
  const url = `http://127.0.0.1:${port("https")}`;
  assert.equal((await fetch(`${url}/dns-query`)).status, 400);
  assert.equal((await fetch(`${url}/other`)).status, 404);
  assert.equal((await fetch(`${url}/dns-query`, { method: "PUT" })).status, 405);
  assert.equal((await fetch(`${url}/dns-query`, { method: "POST", body: "x" })).status, 415);
  assert.equal(await dig("-p", String(port("https")), "+http-plain", "a.test").catch(() => "192.0.2.1"), "192.0.2.1");
});

test("Resolver.reload() takes a changed Corefile and keeps the old one when it is wrong", async (t) => {
  const text = (address: string): string => `.:0 {\n  bind 127.0.0.1\n  ${hosts(address)}}\n`;
  const { resolver, write, dig, port } = await start(t, text("192.0.2.1"));
  const dns = ["-p", String(port("dns")), "a.test"];
  write(text("192.0.2.2"));
  await resolver.reload();
  assert.equal(await dig(...dns), "192.0.2.2");
  write(".:0 {\n  nonsense\n}\n");
  await resolver.reload();
  assert.equal(await dig(...dns), "192.0.2.2");
  const failures = resolver.runtime.collect().find(({ name }) => name === "coredns_reload_failed_total");
  assert.deepEqual(failures?.lines, [" 1"]);
});

test("Resolver builds nothing anew while its Corefile is the same", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "wherry-zone-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "zone");
  writeFileSync(file, "@ 60 IN SOA ns host 1 60 60 60 60\n");
  const { resolver } = await start(t, `example.org:0 {\n  bind 127.0.0.1\n  file ${file}\n}\n`);
  // Whoever builds the block again misses it.
  rmSync(file);
  await resolver.reload();
  const failures = resolver.runtime.collect().find(({ name }) => name === "coredns_reload_failed_total");
  assert.deepEqual(failures?.lines, [" 0"]);
});

test("Resolver transfers zones to those who may have them", async (t) => {
  const records = Array.from({ length: 1500 }, (_, index) => `h${index} IN A 192.0.2.${index % 250}`).join("\n");
  const zone = `@ 60 IN SOA ns host 1 60 60 60 60\n@ IN NS ns\n${records}\n`;
  const text = (to: string): string =>
    `example.org:0 {\n  bind 127.0.0.1\n  file zone\n  transfer {\n    to ${to}\n  }\n}\n`;
  const folder = mkdtempSync(join(tmpdir(), "wherry-zone-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "zone");
  writeFileSync(file, zone);
  const { dig, port } = await start(t, text("127.0.0.1").replace("file zone", `file ${file}`));
  const dns = ["-p", String(port("dns"))];
  assert.equal((await dig(...dns, "example.org", "AXFR")).split("\n").length, 1503);
  const other = await start(t, text("192.0.2.9").replace("file zone", `file ${file}`));
  assert.match(await other.dig("-p", String(other.port("dns")), "example.org", "AXFR"), /Transfer failed/);
});

test("Resolver survives junk lengths, slow and idle TCP clients", async (t) => {
  const { dig, port } = await start(t, `.:0 {\n  bind 127.0.0.1\n  ${hosts("192.0.2.1")}}\n`);
  const clients = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const socket = connect(port("dns"), "127.0.0.1");
      t.after(() => socket.destroy());
      socket.on("error", () => socket.destroy());
      await once(socket, "connect");
      // Idle, half a length, a length that never comes, junk.
      const bytes = [[], [0], [255, 255, 1, 2], [0, 3, 1, 2, 3, 0, 12, 1, 2]][index % 4] ?? [];
      if (bytes.length > 0) socket.write(Buffer.from(bytes));
      return socket;
    }),
  );
  assert.equal(clients.length, 200);
  assert.equal(await dig("-p", String(port("dns")), "+tcp", "a.test"), "192.0.2.1");
});

test("Resolver ends connections that announce more than a query may have, with FORMERR", async (t) => {
  const { resolver, port } = await start(t, `.:0 {\n  bind 127.0.0.1\n  ${hosts("192.0.2.1")}}\n`);
  for (const [bytes, wanted] of [
    [[255, 255, 0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 65], "000c000781010000000000000000"],
    [[16, 1, 0, 7, 128, 0, 0, 1, 0, 0, 0, 0, 0, 0], ""],
  ] as const) {
    const socket = connect(port("dns"), "127.0.0.1");
    t.after(() => socket.destroy());
    socket.write(Buffer.from(bytes));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => socket.destroy());
    await once(socket, "close");
    assert.equal(Buffer.concat(chunks).toString("hex"), wanted);
  }
  assert.equal(resolver.runtime.counters.framesRefused, 2);
});

test("Resolver.start() says what is wrong, and leaves nothing open", async (t) => {
  const first = await start(t, `.:0 {\n  bind 127.0.0.1\n  ${hosts("192.0.2.1")}}\n`);
  const taken = first.port("dns");
  await assert.rejects(
    start(t, `.:${taken} {\n  bind 127.0.0.1\n  ${hosts("192.0.2.1")}}\n`),
    /Cannot listen on 127\.0\.0\.1:/,
  );
  await assert.rejects(start(t, ""), /no server block, wanted one/);
  const nosuch = "/nonexistent/resolv.conf";
  await assert.rejects(start(t, `.:0 {\n  forward . ${nosuch}\n}\n`), /Corefile:2: .*no such file, wanted/);
  await assert.rejects(start(t, `.:0 {\n  forward . not:an:address\n}\n`), /Corefile:2: .*wanted an address/);
  await assert.rejects(start(t, `.:0 {\n}\nimport ${nosuch}\n`), /Corefile:3: .*no snippet and no file "\/nonexistent/);
});

test("Resolver labels every series of a block with the address that it is bound to, as CoreDNS does", async (t) => {
  const first = `.:0 {\n  bind 127.0.0.1 127.0.0.2\n  prometheus 127.0.0.1:0\n  cache\n  ${hosts("192.0.2.1")}}\n`;
  const { dig, resolver } = await start(t, `${first}b.test:0 {\n  bind 127.0.0.3\n  whoami\n}\n`);
  const port = String(resolver.runtime.ports.get("dns://127.0.0.1:0"));
  assert.equal(await dig("-p", port, "a.test"), "192.0.2.1");
  const labels = new Map<string, Set<string>>();
  for (const { name, lines } of resolver.runtime.collect())
    for (const line of lines) {
      const [, server] = /server="([^"]*)"/.exec(line) ?? [];
      if (server !== undefined) labels.set(name, (labels.get(name) ?? new Set()).add(server));
    }
  const bound = ["dns://127.0.0.1:0", "dns://127.0.0.2:0", "dns://127.0.0.3:0"];
  assert.deepEqual([...(labels.get("coredns_dns_requests_total") ?? [])], bound.slice(0, 1));
  assert.deepEqual([...(labels.get("coredns_plugin_enabled") ?? [])].toSorted(), bound);
  assert.deepEqual([...(labels.get("coredns_cache_entries") ?? [])], bound.slice(0, 1));
  for (const [name, servers] of labels) for (const server of servers) assert.ok(bound.includes(server), name + server);
});
