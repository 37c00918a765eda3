/** `wherry dns` between programs and upstreams over real sockets: what each gets, from where, and how soon. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import test from "node:test";
import { answersOf, reply, startUpstream, usual } from "../../dns/plugin-fixture.ts";
import { askTCP, askUDP, startDNS } from "./dns-process.ts";

const truncated = 0x380;

test("an answer that was cut for UDP goes to nobody over TCP", async (t) => {
  const upstream = await startUpstream(t, (query, proto) =>
    proto === "udp" ? [reply(query, [], 0, truncated)] : usual(query, proto),
  );
  // Late, so that the questions over TCP come while those over UDP wait.
  upstream.delayMs = 300;
  const port =
    (await startDNS(t, `.:0 {\n  bind 127.0.0.1\n  cache 30\n  forward . 127.0.0.1:${upstream.port}\n}\n`)).get(
      "dns",
    ) ?? 0;
  const overUDP = askUDP(port, "www.outside.test A");
  while (upstream.asked.length === 0) await sleep(5);
  const overTCP = await askTCP(port, "www.outside.test A");
  assert.equal((await overUDP)?.flag_tc, true);
  assert.equal(overTCP.flag_tc, false);
  assert.deepEqual(answersOf(overTCP), ["www.outside.test A 30 192.0.2.1"]);
});

test("acl keeps zones from those who may not ask", async (t) => {
  const zone = "@ 60 IN SOA ns host 1 2 3 4 5\n@ 60 IN NS ns\nsecret 60 IN A 10.1.2.3\n";
  const corefile = (net: string): string =>
    `example.org:0 {\n  bind 127.0.0.1\n  acl {\n    block net ${net}\n  }\n  file db\n  transfer {\n    to *\n  }\n}\n`;
  const blocking = (await startDNS(t, corefile("127.0.0.0/8"), { db: zone })).get("dns") ?? 0;
  const refused = await askTCP(blocking, "example.org AXFR");
  assert.deepEqual([refused.rcode, refused.answers], ["REFUSED", []]);
  const letting = (await startDNS(t, corefile("192.0.2.0/24"), { db: zone })).get("dns") ?? 0;
  assert.equal((await askTCP(letting, "example.org AXFR")).answers?.length, 4);
});

test("a query that does not become whole ends its connection, however often a byte of it comes", async (t) => {
  const corefile = ".:0 {\n  bind 127.0.0.1\n  hosts {\n    192.0.2.1 a.test\n  }\n}\n";
  const port = (await startDNS(t, corefile)).get("dns") ?? 0;
  const slow = connect(port, "127.0.0.1");
  slow.on("error", () => slow.destroy());
  t.after(() => slow.destroy());
  await once(slow, "connect");
  const startMs = performance.now();
  const closed = once(slow.resume(), "close", { signal: AbortSignal.timeout(20_000) });
  slow.write(Buffer.from([0x0f, 0xff]));
  const every = setInterval(() => slow.write(Buffer.from([0])), 200);
  t.after(() => clearInterval(every));
  assert.equal((await askTCP(port, "a.test A")).rcode, "NOERROR");
  await closed;
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs > 9000 && tookMs < 20_000, `${Math.round(tookMs)} ms`);
});

test("an upstream whose port is closed costs no time, and one that is back is asked again", async (t) => {
  const upstream = await startUpstream(t);
  const gone = createSocket("udp4");
  gone.bind(0, "127.0.0.1");
  await once(gone, "listening");
  const dead = gone.address().port;
  gone.close();
  await once(gone, "close");
  const options = "policy sequential\n    max_fails 0";
  const corefile = `.:0 {\n  bind 127.0.0.1\n  forward . 127.0.0.1:${dead} 127.0.0.1:${upstream.port} {\n    ${options}\n  }\n}\n`;
  const port = (await startDNS(t, corefile)).get("dns") ?? 0;
  for (let times = 0; times < 20; times++) {
    // askUDP waits for a second; a read timeout is two.
    assert.deepEqual(answersOf(await askUDP(port, `n${times}.outside.test A`)), [
      `n${times}.outside.test A 60 192.0.2.1`,
    ]);
  }
  const back = createSocket("udp4");
  t.after(() => back.close());
  back.bind(dead, "127.0.0.1");
  const heard = once(back, "message", { signal: AbortSignal.timeout(5000) });
  await askUDP(port, "again.outside.test A");
  await heard;
});
