/** forward and cache against upstreams that are well, dead, slow, cutting, lying. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import test from "node:test";
import dnsPacket from "dns-packet";
import { realClock } from "#lib/clock.ts";
import { answersOf, reply, serveCorefile, startUpstream, usual } from "../plugin-fixture.ts";

const name = "www.outside.test";

/** A port of loopback where nobody answers. */
async function deadPort(t: test.TestContext): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  t.after(() => socket.close());
  return socket.address().port;
}

test("forward passes answers on, with flags and negative answers", async (t) => {
  const upstream = await startUpstream(t);
  const block = await serveCorefile(t, `. {\n  forward . 127.0.0.1:${upstream.port}\n}`);
  const answer = await block.ask(`${name} A`);
  assert.deepEqual(answersOf(answer), [`${name} A 60 192.0.2.1`]);
  assert.equal(answer?.flag_rd, true);
  assert.equal((await block.ask("nope.test A"))?.rcode, "NXDOMAIN");
  assert.match(block.metrics(), /coredns_forward_requests_total\{to="127\.0\.0\.1:\d+"\} 2/);
});

test("forward draws ids, ports and the case of names by chance", async (t) => {
  const upstream = await startUpstream(t);
  const block = await serveCorefile(t, `. {\n  forward . 127.0.0.1:${upstream.port}\n}`);
  for (let round = 0; round < 20; round++) await block.ask(`${name} A`);
  assert.ok(new Set(upstream.asked.map(({ name: asked }) => asked)).size > 10);
  assert.ok(new Set(upstream.asked.map(({ port }) => port)).size > 3);
});

test("forward asks the next upstream when one is dead", async (t) => {
  const upstream = await startUpstream(t);
  const dead = await deadPort(t);
  const corefile = `. {\n  forward . 127.0.0.1:${dead} 127.0.0.1:${upstream.port} {\n    policy sequential\n    read_timeout 50ms\n  }\n}`;
  const block = await serveCorefile(t, corefile);
  assert.deepEqual(answersOf(await block.ask(`${name} A`)), [`${name} A 60 192.0.2.1`]);
});

test("forward asks the next upstream when one is slow, and never believes what comes too late", async (t) => {
  const upstream = await startUpstream(t);
  const slow = createSocket("udp4");
  const asked: (() => void)[] = [];
  slow.on("message", (bytes, { port, address }) => {
    const query = dnsPacket.decode(bytes);
    const [question] = query.questions ?? [];
    if (question?.name.toLowerCase() !== name) return;
    const late = [{ type: "A", name: question.name, ttl: 60, data: "203.0.113.1" } as const];
    asked.push(() => slow.send(reply(query, late), port, address));
  });
  slow.bind(0, "127.0.0.1");
  await once(slow, "listening");
  t.after(() => slow.close());
  const to = `127.0.0.1:${slow.address().port} 127.0.0.1:${upstream.port}`;
  const corefile = `. {\n  cache\n  forward . ${to} {\n    policy sequential\n    read_timeout 50ms\n  }\n}`;
  const block = await serveCorefile(t, corefile);
  assert.deepEqual(answersOf(await block.ask(`${name} A`)), [`${name} A 60 192.0.2.1`]);
  assert.ok(asked.length > 0);
  for (const answer of asked) answer();
  const unexpected = new RegExp(`wherry_dns_upstream_unexpected_total ${asked.length}`);
  for (let turn = 0; turn < 1000 && !unexpected.test(block.metrics()); turn++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.match(block.metrics(), unexpected);
  assert.deepEqual(answersOf(await block.ask(`${name} A`)), [`${name} A 60 192.0.2.1`]);
});

test("forward ignores replies with other ids, questions and senders", async (t) => {
  const upstream = await startUpstream(t, (query) => {
    const [question] = query.questions ?? [];
    const forged = [{ type: "A", name: question?.name ?? "", ttl: 60, data: "203.0.113.66" } as const];
    const otherId = reply({ ...query, id: (query.id + 1) & 0xffff }, forged);
    const otherName = reply({ ...query, questions: [{ name: "evil.test", type: "A" }] }, forged);
    return [otherId, otherName, Buffer.from([1, 2, 3]), ...usual(query, "udp")];
  });
  const block = await serveCorefile(t, `. {\n  forward . 127.0.0.1:${upstream.port}\n}`);
  assert.deepEqual(answersOf(await block.ask(`${name} A`)), [`${name} A 60 192.0.2.1`]);
  assert.match(block.metrics(), /wherry_dns_upstream_unexpected_total [23]/);
});

test("forward believes an upstream that loses the case of names, over TCP first", async (t) => {
  const upstream = await startUpstream(t, (query, proto) => {
    const questions = (query.questions ?? []).map((question) => ({ ...question, name: question.name.toLowerCase() }));
    return usual({ ...query, questions }, proto);
  });
  const block = await serveCorefile(t, `. {\n  forward . 127.0.0.1:${upstream.port}\n}`);
  assert.equal(answersOf(await block.ask(`${name} A`)).length, 1);
  assert.deepEqual(
    upstream.asked.map(({ proto }) => proto),
    ["udp", "tcp"],
  );
  assert.equal(answersOf(await block.ask(`${name} A`)).length, 1);
  assert.deepEqual(
    upstream.asked.map(({ proto }) => proto),
    ["udp", "tcp", "udp"],
  );
});

test("forward carries TC to a UDP downstream, and asks over TCP for others", async (t) => {
  const upstream = await startUpstream(t, (query, proto) =>
    proto === "tcp" ? usual(query, proto) : [reply(query, [], 0, 0x380)],
  );
  const block = await serveCorefile(t, `. {\n  forward . 127.0.0.1:${upstream.port}\n}`);
  assert.equal((await block.ask(`${name} A`))?.flag_tc, true);
  assert.equal(answersOf(await block.ask(`${name} A`, { proto: "tcp" })).length, 1);
  const preferring = await serveCorefile(t, `. {\n  forward . 127.0.0.1:${upstream.port} {\n    prefer_udp\n  }\n}`);
  assert.equal(answersOf(await preferring.ask(`${name} A`)).length, 1);
});

test("forward fails when nobody answers, and refuses beyond max_concurrent", async (t) => {
  const dead = await deadPort(t);
  const corefile = `. {\n  forward . 127.0.0.1:${dead} {\n    read_timeout 50ms\n    max_concurrent 1\n  }\n}`;
  const block = await serveCorefile(t, corefile);
  const [first, second] = await Promise.all([block.ask(`${name} A`), block.ask(`b.${name} A`)]);
  assert.equal(first?.rcode, "SERVFAIL");
  assert.equal(second?.rcode, "REFUSED");
  assert.match(block.metrics(), /coredns_forward_max_concurrent_rejects_total 1/);
});

test("forward leaves `except` alone", async (t) => {
  const upstream = await startUpstream(t);
  const corefile = `. {\n  forward . 127.0.0.1:${upstream.port} {\n    except inner.test\n  }\n}`;
  const block = await serveCorefile(t, corefile);
  assert.equal((await block.ask("a.inner.test A"))?.rcode, "SERVFAIL");
  assert.equal(upstream.asked.length, 0);
});

/** A clock that can be moved; its timers are real. */
function movableClock(): typeof realClock & { move(ms: number): void } {
  let offsetMs = 0;
  return { ...realClock, monotonicMs: () => realClock.monotonicMs() + offsetMs, move: (ms) => void (offsetMs += ms) };
}

test("cache keeps answers, counts their TTL down, and asks again when it is over", async (t) => {
  const clock = movableClock();
  const upstream = await startUpstream(t);
  const block = await serveCorefile(t, `. {\n  cache 30\n  forward . 127.0.0.1:${upstream.port}\n}`, { clock });
  assert.deepEqual(answersOf(await block.ask(`${name} A`)), [`${name} A 30 192.0.2.1`]);
  clock.move(10_000);
  assert.deepEqual(answersOf(await block.ask(`${name.toUpperCase()} A`)), [`${name.toUpperCase()} A 20 192.0.2.1`]);
  assert.equal(upstream.asked.length, 1);
  clock.move(21_000);
  await block.ask(`${name} A`);
  assert.equal(upstream.asked.length, 2);
});

test("cache asks once for what many want at a time", async (t) => {
  const upstream = await startUpstream(t);
  const block = await serveCorefile(t, `. {\n  cache\n  forward . 127.0.0.1:${upstream.port}\n}`);
  const all = await Promise.all(Array.from({ length: 50 }, () => block.ask(`${name} A`)));
  assert.ok(all.every((packet) => packet?.rcode === "NOERROR"));
  assert.equal(upstream.asked.length, 1);
});

test("cache keeps answers without recursion apart from the others", async (t) => {
  // A resolver that says only what it has at hand: nothing, to who does not want recursion.
  const upstream = await startUpstream(t, (query, proto) => (query.flag_rd ? usual(query, proto) : [reply(query, [])]));
  const block = await serveCorefile(t, `. {\n  cache\n  forward . 127.0.0.1:${upstream.port}\n}`);
  const [poor, full] = await Promise.all([
    block.ask(`${name} A`, { isRecursionDesired: false }),
    block.ask(`${name} A`),
  ]);
  assert.deepEqual([answersOf(poor).length, answersOf(full).length], [0, 1]);
  assert.equal(answersOf(await block.ask(`${name} A`)).length, 1);
  assert.equal(answersOf(await block.ask(`${name} A`, { isRecursionDesired: false })).length, 0);
  assert.equal(upstream.asked.length, 2);
});

test("cache keeps negative answers as long as their SOA says", async (t) => {
  const clock = movableClock();
  const upstream = await startUpstream(t);
  const block = await serveCorefile(t, `. {\n  cache\n  forward . 127.0.0.1:${upstream.port}\n}`, { clock });
  for (let round = 0; round < 3; round++) assert.equal((await block.ask("nope.test A"))?.rcode, "NXDOMAIN");
  assert.equal(upstream.asked.length, 1);
  clock.move(21_000);
  await block.ask("nope.test A");
  assert.equal(upstream.asked.length, 2);
});

test("cache serves stale answers while upstreams fail, and never hides them behind a failure", async (t) => {
  const clock = movableClock();
  const upstream = await startUpstream(t);
  const corefile = `. {\n  cache {\n    serve_stale 1h verify\n  }\n  forward . 127.0.0.1:${upstream.port} {\n    read_timeout 50ms\n  }\n}`;
  const block = await serveCorefile(t, corefile, { clock });
  await block.ask(`${name} A`);
  upstream.behave((query) => [reply(query, [], 2)]);
  clock.move(120_000);
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(answersOf(await block.ask(`${name} A`)), [`${name} A 0 192.0.2.1`]);
  }
  clock.move(3_600_000);
  assert.equal((await block.ask(`${name} A`))?.rcode, "SERVFAIL");
});

test("cache is bounded", async (t) => {
  const upstream = await startUpstream(t);
  const corefile = `. {\n  cache {\n    success 10\n  }\n  forward . 127.0.0.1:${upstream.port}\n}`;
  const block = await serveCorefile(t, corefile);
  for (let index = 0; index < 30; index++) await block.ask(`n${index}.outside.test A`);
  assert.match(block.metrics(), /coredns_cache_entries\{server="dns:\/\/:53",type="success",zones="\.",view=""\} 10/);
  assert.match(block.metrics(), /coredns_cache_evictions_total\{[^}]*type="success"[^}]*\} 20/);
});

test("errors names the upstreams that forward asked, and why it failed", async (t) => {
  const [first, second] = [await deadPort(t), await deadPort(t)];
  const to = `127.0.0.1:${first} 127.0.0.1:${second}`;
  const options = "{\n    policy sequential\n    read_timeout 50ms\n    max_concurrent 1\n  }";
  const block = await serveCorefile(t, `. {\n  errors\n  forward . ${to} ${options}\n}`);
  assert.equal((await block.ask(`${name} A`))?.rcode, "SERVFAIL");
  const asked = `127\\.0\\.0\\.1:${first}, 127\\.0\\.0\\.1:${second}`;
  const lines = block.logged.filter((line) => line.startsWith("forward failed"));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", new RegExp(`^forward failed for ${name}\\. A: no answer from ${asked}$`));
});

test("loop ends the process when queries come back", async (t) => {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  t.after(() => socket.close());
  const block = await serveCorefile(t, `. {\n  loop\n  forward . 127.0.0.1:${socket.address().port}\n}`);
  block.instance.served();
  const [message] = (await once(socket, "message")) as [Buffer];
  const [question] = dnsPacket.decode(message).questions ?? [];
  const asked = block.ask(`${question?.name ?? ""} HINFO`);
  assert.equal((await asked)?.rcode, "SERVFAIL");
  assert.match(block.fatal[0] ?? "", /queries for \. come back/);
});
