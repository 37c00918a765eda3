/** Fault injection and local rate limits, through the whole engine. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { type Rig, startAnswering } from "../fixture.ts";
import { TokenBucket } from "../resilience/token-bucket.ts";
import { filterType, startFilterRig } from "./fixture.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const always = { default_value: { numerator: 100, denominator: "HUNDRED" } };

const rigWith = (port: number, config: object, own: object): Promise<Rig> => startFilterRig([port], { config, own });

const ask = async (rig: Rig, path: string, headers: Record<string, string> = {}): Promise<[number, string]> => {
  const response = await fetch(`http://127.0.0.1:${rig.port}${path}`, { headers });
  return [response.status, await response.text()];
};

describe("fault injection", () => {
  const fault = (status: number): object => ({
    "@type": filterType("fault.v3.HTTPFault"),
    abort: { http_status: status, percentage: { numerator: 100, denominator: "HUNDRED" } },
  });

  it("answers with the error of the chain, or of the route, or not at all", async () => {
    await using upstream = await startAnswering(ok);
    await using rig = await rigWith(upstream.port, fault(503), fault(418));
    assert.deepEqual(await ask(rig, "/"), [503, "fault filter abort"]);
    assert.deepEqual(await ask(rig, "/own"), [418, "fault filter abort"]);
    assert.deepEqual(await ask(rig, "/off"), [200, "ok"]);
    assert.deepEqual(
      rig.records.map(({ flag }) => flag),
      ["FI", "FI", "-"],
    );
  });

  it("is for requests with its headers alone, and delays them", async () => {
    await using upstream = await startAnswering(ok);
    const config = {
      "@type": filterType("fault.v3.HTTPFault"),
      headers: [{ name: "x-who", string_match: { exact: "me" } }],
      delay: { fixed_delay: "0.2s", percentage: { numerator: 100, denominator: "HUNDRED" } },
    };
    await using rig = await rigWith(upstream.port, config, config);
    const took = async (headers: Record<string, string>): Promise<number> => {
      const startMs = performance.now();
      assert.deepEqual(await ask(rig, "/", headers), [200, "ok"]);
      return performance.now() - startMs;
    };
    // A timer may run a moment before its time.
    assert.ok((await took({ "x-who": "me" })) >= 195);
    assert.equal(rig.records.length, 1);
    await took({ "x-who": "you" });
  });

  it("hits its part of the requests", async () => {
    await using upstream = await startAnswering(ok);
    const part = {
      "@type": filterType("fault.v3.HTTPFault"),
      abort: { http_status: 500, percentage: { numerator: 30, denominator: "HUNDRED" } },
    };
    await using rig = await rigWith(upstream.port, part, part);
    let hits = 0;
    for (let each = 0; each < 200; each++) if ((await ask(rig, "/"))[0] === 500) hits++;
    assert.ok(hits > 35 && hits < 85, String(hits));
  });
});

describe("the local rate limit", () => {
  const limit = (max_tokens: number, enforced: object = always): object => ({
    "@type": filterType("local_ratelimit.v3.LocalRateLimit"),
    stat_prefix: "s",
    token_bucket: { max_tokens, tokens_per_fill: 1, fill_interval: "3600s" },
    filter_enabled: always,
    filter_enforced: enforced,
    response_headers_to_add: [{ header: { key: "x-limited", value: "yes" } }],
  });

  it("refuses beyond its tokens with 429 RL, by route", async () => {
    await using upstream = await startAnswering(ok);
    await using rig = await rigWith(upstream.port, limit(2), limit(1));
    const statuses: number[] = [];
    for (const path of ["/", "/", "/", "/own", "/own", "/off"]) statuses.push((await ask(rig, path))[0]);
    assert.deepEqual(statuses, [200, 200, 429, 200, 429, 200]);
    const refused = await fetch(`http://127.0.0.1:${rig.port}/`);
    assert.deepEqual([refused.headers.get("x-limited"), await refused.text()], ["yes", "local_rate_limited"]);
    assert.equal(rig.records.filter(({ flag }) => flag === "RL").length, 3);
  });

  it("only counts where it is not enforced", async () => {
    await using upstream = await startAnswering(ok);
    const config = limit(1, { default_value: { numerator: 0 } });
    await using rig = await rigWith(upstream.port, config, config);
    assert.deepEqual([(await ask(rig, "/"))[0], (await ask(rig, "/"))[0]], [200, 200]);
  });
});

describe("TokenBucket", () => {
  it("is full at first, and filled in steps up to its size", async () => {
    const clock = new ManualClock();
    const bucket = new TokenBucket({ tokensMax: 3, perFill: 2, fillMs: 1000 }, clock.monotonicMs());
    const taken = (): number => {
      let count = 0;
      while (bucket.take(clock.monotonicMs())) count++;
      return count;
    };
    assert.equal(taken(), 3);
    await clock.advance(999);
    assert.equal(taken(), 0);
    await clock.advance(1);
    assert.equal(taken(), 2);
    await clock.advance(60_000);
    assert.equal(taken(), 3);
  });
});
