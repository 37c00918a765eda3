/** How long HTTP caches may keep a response: never longer than its records live (RFC 8484 §5.1). */
import assert from "node:assert/strict";
import test from "node:test";
import dnsPacket, { type Answer } from "dns-packet";
import { realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { ServerCounters } from "../metrics.ts";
import { listen } from "./listener.ts";

const address = (ttl: number): Answer => ({ type: "A", name: "a.test", ttl, data: "192.0.2.1" });
const numbers = { serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 20 };
const soa = (ttl: number): Answer => ({
  type: "SOA",
  name: "test",
  ttl,
  data: { mname: "ns.test", rname: "host.test", ...numbers },
});

const rows: readonly (readonly [string, string, readonly Answer[], readonly Answer[], number])[] = [
  ["the least TTL of its answers", "max-age=30", [address(60), address(30)], [], 0],
  ["what its SOA says of names that are not", "max-age=20", [], [soa(600)], 3],
  ["the TTL of that SOA, if it is less", "max-age=5", [], [soa(5)], 0],
  ["nothing, when it has no records", "max-age=0", [], [], 2],
];
for (const [what, wanted, answers, authorities, rcode] of rows) {
  test(`a response over HTTPS lives for ${what}`, async (t) => {
    const questions = [{ type: "A", name: "a.test" }] as const;
    const message = dnsPacket.encode({
      type: "response",
      flags: rcode,
      questions: [...questions],
      answers,
      authorities,
    });
    const options = { scheme: "https", respond: () => message, clock: realClock, log: silentLogger } as const;
    const listener = await listen({ port: 0, address: "127.0.0.1" }, { ...options, counters: new ServerCounters() });
    t.after(() => listener.close());
    const query = dnsPacket.encode({ type: "query", questions: [...questions] }).toString("base64url");
    const response = await fetch(`http://127.0.0.1:${listener.port}/dns-query?dns=${query}`);
    assert.equal(response.headers.get("cache-control"), wanted);
    await response.body?.cancel();
  });
}
