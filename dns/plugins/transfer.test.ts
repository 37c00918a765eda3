/** transfer in a chain: who gets a zone, what stands above it sees, and nobody gets one past it. */
import assert from "node:assert/strict";
import test from "node:test";
import dnsPacket from "dns-packet";
import { type Block, encodeQuestion, serveCorefile, startUpstream } from "../plugin-fixture.ts";
import type { Proto } from "../plugin.ts";

const records = Array.from({ length: 700 }, (_, index) => `h${index} 60 IN A 10.1.${index >> 8}.${index & 255}`);
const zone = ["@ 60 IN SOA ns host 1 2 3 4 5", "@ 60 IN NS ns", ...records].join("\n");

/** Rcode and number of records of all messages together; undefined when there is none. */
async function transferred(block: Block, proto: Proto, client: string): Promise<string | undefined> {
  const messages = await block.sendAll(encodeQuestion("example.org AXFR"), { proto, client });
  const packets = messages.map((message) => dnsPacket.decode(message));
  const [first] = packets;
  return first && `${first.rcode} ${packets.reduce((sum, { answers }) => sum + (answers?.length ?? 0), 0)}`;
}

const text = (above: string, to = "*"): string =>
  `example.org {\n${above}\n  file db\n  transfer {\n    to ${to}\n  }\n}`;

test("transfer gives a zone to those it names, over streams alone", async (t) => {
  const block = await serveCorefile(t, text("", "10.0.0.0/8"), { files: { db: zone } });
  assert.equal(await transferred(block, "tcp", "10.9.9.9"), "NOERROR 703");
  assert.equal(await transferred(block, "tls", "10.9.9.9"), "NOERROR 703");
  assert.equal(await transferred(block, "udp", "10.9.9.9"), "REFUSED 0");
  assert.equal(await transferred(block, "https", "10.9.9.9"), "REFUSED 0");
  assert.equal(await transferred(block, "tcp", "192.0.2.1"), "REFUSED 0");
});

test("acl keeps zones from those it blocks, filters or drops", async (t) => {
  const acl = "  acl {\n    block net 10.1.0.0/16\n    filter type AXFR net 10.2.0.0/16\n    drop net 10.3.0.0/16\n  }";
  const block = await serveCorefile(t, text(acl), { files: { db: zone } });
  assert.equal(await transferred(block, "tcp", "10.1.1.1"), "REFUSED 0");
  assert.equal(await transferred(block, "tcp", "10.2.1.1"), "NOERROR 0");
  assert.equal(await transferred(block, "tcp", "10.3.1.1"), undefined);
  assert.equal(await transferred(block, "tcp", "10.4.1.1"), "NOERROR 703");
});

test("transfers pass through what else stands above, and are logged and counted", async (t) => {
  const above = ["log", "loadbalance", "rewrite name regex (.*) x.test", "cache", "minimal"].join("\n");
  const block = await serveCorefile(t, text(above), { files: { db: zone } });
  for (let times = 0; times < 2; times++) assert.equal(await transferred(block, "tcp", "10.9.9.9"), "NOERROR 703");
  assert.equal(block.logged.filter((line) => line.includes("AXFR IN example.org. tcp")).length, 2);
  assert.match(block.metrics(), /coredns_dns_requests_total\{[^}]*type="AXFR"[^}]*\} 2/);
});

test("transfers are refused without transfer, whatever could answer them", async (t) => {
  const upstream = await startUpstream(t);
  const forwarding = `. {\n  forward . 127.0.0.1:${upstream.port}\n}`;
  for (const corefile of [forwarding, "example.org {\n  file db\n}"]) {
    const block = await serveCorefile(t, corefile, { files: { db: zone } });
    assert.equal(await transferred(block, "tcp", "10.9.9.9"), "REFUSED 0");
  }
  assert.equal(upstream.asked.length, 0);
});
