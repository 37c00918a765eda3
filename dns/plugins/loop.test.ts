/** The plugin `loop`: queries that come back end the process, through sockets, when it starts and when it reloads. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { Resolver } from "../main.ts";
import { serveCorefile, startUpstream, usual } from "../plugin-fixture.ts";

/** Two ports that nobody has, for TCP nor for UDP. */
async function drawPorts(): Promise<readonly [number, number]> {
  const [a, b] = [await holdPort(), await holdPort()];
  for (const { tcp, udp } of [a, b]) {
    tcp.close();
    udp.close();
  }
  return [a.port, b.port];
}

/** The kernel draws one for TCP, which somebody may have for UDP: then it draws another. */
async function holdPort(): Promise<{ readonly port: number; readonly tcp: Server; readonly udp: Socket }> {
  for (;;) {
    const tcp = createServer().listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const { port } = tcp.address() as AddressInfo;
    const udp = createSocket("udp4").bind(port, "127.0.0.1");
    try {
      await once(udp, "listening");
      return { port, tcp, udp };
    } catch {
      tcp.close();
    }
  }
}

const forms: Readonly<Record<string, (a: number, b: number) => string>> = {
  "of one block": (a) => `.:${a} {\n  bind 127.0.0.1\n  loop\n  forward . 127.0.0.1:${a}\n}\n`,
  "of one zone": (a) => `loop.test:${a} {\n  bind 127.0.0.1\n  errors\n  log\n  loop\n  forward . 127.0.0.1:${a}\n}\n`,
  "over two blocks": (a, b) =>
    `.:${a} {\n  bind 127.0.0.1\n  loop\n  forward . 127.0.0.1:${b}\n}\n` +
    `.:${b} {\n  bind 127.0.0.1\n  forward . 127.0.0.1:${a}\n}\n`,
};

for (const [form, corefile] of Object.entries(forms)) {
  test(`loop ends the process at a loop ${form}, before a query comes`, { timeout: 20_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "wherry-loop-"));
    const file = join(folder, "Corefile");
    writeFileSync(file, corefile(...(await drawPorts())));
    const told = Promise.withResolvers<string>();
    const resolver = new Resolver({
      file,
      port: 0,
      log: silentLogger,
      environmentVariable: () => undefined,
      onFatal: told.resolve,
    });
    t.after(async () => {
      await resolver.runtime.close();
      rmSync(folder, { recursive: true });
    });
    await resolver.start();
    assert.match(await told.promise, /^Cannot go on: queries for .* come back to dns:\/\//);
  });
}

test("loop asks an upstream that is not there yet again, for 30 s", { timeout: 20_000 }, async (t) => {
  const clock = new ManualClock();
  const upstream = await startUpstream(t, () => []);
  const block = await serveCorefile(t, `. {\n  loop\n  forward . 127.0.0.1:${upstream.port}\n}`, { clock });
  const ours = (): readonly string[] => upstream.asked.flatMap(({ name, type }) => (type === "HINFO" ? [name] : []));
  block.instance.served();
  for (let second = 0; second < 10; second++) {
    await clock.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const before = ours().length;
  assert.ok(before > 1, `${before} attempts within 10 s`);
  upstream.behave((query, proto) => {
    const [question] = query.questions ?? [];
    if (question?.type === "HINFO") void block.ask(`${question.name} HINFO`);
    return usual(query, proto);
  });
  for (let second = 0; second < 10; second++) {
    await clock.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(block.fatal.length, 1);
  assert.equal(new Set(ours().map((name) => name.toLowerCase())).size, 1);
});

test("loop asks an upstream that answers once", async (t) => {
  const clock = new ManualClock();
  const upstream = await startUpstream(t);
  const block = await serveCorefile(t, `. {\n  loop\n  forward . 127.0.0.1:${upstream.port}\n}`, { clock });
  block.instance.served();
  while (upstream.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  for (let second = 0; second < 40; second++) await clock.advance(1000);
  assert.equal(upstream.asked.length, 1);
  assert.deepEqual(block.fatal, []);
});
