/** Counters with a bound. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RawClient, eventually, startRig, startUpstream, staticCluster } from "../fixture.ts";
import { Limits, thresholdsDefault } from "./limits.ts";

describe("Limits", () => {
  it("refuses one beyond the threshold, counts it, and takes again after a release", () => {
    const limits = new Limits({ ...thresholdsDefault, requests: 2 });
    assert.deepEqual([limits.take("requests"), limits.take("requests"), limits.take("requests")], [true, true, false]);
    assert.equal(limits.overflows.requests, 1);
    limits.release("requests");
    assert.equal(limits.take("requests"), true);
  });

  it("lets retries be a part of the requests, and a few in any case", () => {
    const limits = new Limits({ ...thresholdsDefault, retryBudget: { percent: 20, retriesMin: 3 } });
    const retries = (): number => {
      let count = 0;
      while (limits.take("retries")) count++;
      for (let each = 0; each < count; each++) limits.release("retries");
      return count;
    };
    assert.equal(retries(), 3);
    for (let each = 0; each < 50; each++) limits.take("requests");
    assert.equal(retries(), 10);
  });

  it("count a request that waits once for the budget of retries, as Envoy does", async () => {
    await using upstream = await startUpstream(() => undefined);
    const retry_budget = { budget_percent: { value: 20 }, min_retry_concurrency: 1 };
    const circuit_breakers = { thresholds: [{ max_connections: 1, retry_budget }] };
    const routes = [{ match: { prefix: "/" }, route: { cluster: "c" } }];
    await using rig = await startRig({
      routes: { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
      clusters: [{ ...staticCluster("c", [upstream.port]), circuit_breakers }],
    });
    const limits = rig.cluster("c").limits.default;
    const clients = Array.from({ length: 10 }, () => new RawClient(rig.port));
    for (const client of clients) client.send("GET / HTTP/1.1\r\nHost: b\r\n\r\n");
    await eventually(() => limits.used.requests === 1 && limits.used.pending === 9, "one that is sent, nine that wait");
    assert.deepEqual([limits.take("retries"), limits.take("retries"), limits.take("retries")], [true, true, false]);
    for (const client of clients) client.close();
  });
});
