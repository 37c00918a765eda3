/** The resolvers behind the cluster's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dnsUpstreams } from "./dns-upstreams.ts";

test("dnsUpstreams() takes the host's resolvers in order, IPv4 alone, at most three", () => {
  const text =
    "# made by hand\nsearch example.com\nnameserver 192.0.2.1\n nameserver fe80::1%eth0\nnameserver\t192.0.2.2\n";
  assert.deepEqual(dnsUpstreams([], text), ["192.0.2.1:53", "192.0.2.2:53"]);
  assert.deepEqual(dnsUpstreams([], "nameserver 192.0.2.1\n".repeat(5)).length, 3);
  assert.deepEqual(dnsUpstreams([], ""), []);
});

test("dnsUpstreams() takes flags instead, and refuses what is no address", () => {
  assert.deepEqual(dnsUpstreams(["127.0.0.1:5353", "192.0.2.9"], "nameserver 192.0.2.1"), [
    "127.0.0.1:5353",
    "192.0.2.9:53",
  ]);
  for (const wrong of ["dns.example.com", "1.2.3", "1.2.3.4:0", "1.2.3.4:x", "::1"])
    assert.throws(() => dnsUpstreams([wrong], ""), {
      message: new RegExp(`Cannot use --dns-upstream ${wrong}: wanted ADDR`),
    });
  assert.throws(() => dnsUpstreams(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], ""), /at most 3/);
});
