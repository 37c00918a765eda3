/** What a request sees of retries, limits and ejections, through the whole engine. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, describe, it } from "node:test";
import type { RouteConfiguration } from "#api/xds/envoy.ts";
import { type Rig, startRig, staticCluster } from "../fixture.ts";

const servers: Server[] = [];
after(() => servers.forEach((server) => (server.closeAllConnections(), server.close())));

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const answering =
  (status: number, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, headers).end(String(status));

/** Everything to cluster "c", with `retry` as its policy and `more` in its route. */
function routesWith(retry: object | undefined, more: object = {}): RouteConfiguration {
  const route = { cluster: "c", ...(retry === undefined ? {} : { retry_policy: retry }), ...more };
  return {
    name: "routes",
    virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route }] }],
  } as RouteConfiguration;
}

const rigWith = (ports: readonly number[], routes: RouteConfiguration, more: object = {}): Promise<Rig> =>
  startRig({ routes, clusters: [{ ...staticCluster("c", ports), ...more }] });

const get = (rig: Rig, init: RequestInit = {}): Promise<Response> => fetch(`http://127.0.0.1:${rig.port}/`, init);

async function statuses(rig: Rig, count: number, init: RequestInit = {}): Promise<number[]> {
  const found: number[] = [];
  for (let each = 0; each < count; each++) found.push((await get(rig, init)).status);
  return found;
}

describe("retries", () => {
  for (const [on, status, headers, retried] of [
    ["5xx", 500, {}, true],
    ["5xx", 404, {}, false],
    ["gateway-error", 503, {}, true],
    ["gateway-error", 500, {}, false],
    ["retriable-4xx", 409, {}, true],
    ["retriable-status-codes", 418, {}, true],
    ["5xx", 503, { "x-envoy-overloaded": "true" }, false],
    ["5xx", 503, { "x-envoy-ratelimited": "true" }, false],
    ["envoy-ratelimited", 429, { "x-envoy-ratelimited": "true" }, true],
    ["unavailable", 200, { "grpc-status": "14" }, true],
    ["cancelled", 200, { "grpc-status": "14" }, false],
  ] as const)
    it(`by ${on} ${retried ? "try again" : "leave"} ${status} ${JSON.stringify(headers)}`, async () => {
      const bad = await serve(answering(status, headers));
      const good = await serve(answering(200, { server: "good" }));
      await using rig = await rigWith(
        [bad, good],
        routesWith({ retry_on: on, num_retries: 1, retriable_status_codes: [418] }),
      );
      const answers = [await get(rig), await get(rig)].map((answer) => answer.headers.get("server"));
      assert.equal(answers.filter((server) => server === "good").length, retried ? 2 : 1);
      assert.equal(rig.counters.retries, retried ? 1 : 0);
    });

  it("send the body again, as long as it is held", async () => {
    const bodies: string[] = [];
    const port = await serve((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        bodies.push(body);
        response.writeHead(bodies.length === 1 ? 503 : 200).end();
      });
    });
    await using rig = await rigWith([port], routesWith({ retry_on: "5xx", num_retries: 1 }));
    assert.deepEqual(await statuses(rig, 1, { method: "POST", body: "paid once" }), [200]);
    assert.deepEqual(bodies, ["paid once", "paid once"]);
  });

  it("end with the last answer when all are used", async () => {
    const port = await serve(answering(503));
    await using rig = await rigWith([port], routesWith({ retry_on: "5xx", num_retries: 3 }));
    assert.deepEqual(await statuses(rig, 1), [503]);
    assert.equal(rig.counters.retries, 3);
  });

  it("leave a silent endpoint after the time of one try", async () => {
    let asked = 0;
    const silent = await serve(() => void asked++);
    const good = await serve(answering(200));
    await using rig = await rigWith(
      [silent, good],
      routesWith({ retry_on: "5xx", num_retries: 1, per_try_timeout: "0.3s" }, { timeout: "10s" }),
    );
    assert.deepEqual(await statuses(rig, 2), [200, 200]);
    assert.equal(asked, 1);
  });

  it("go on beside the next one where the route hedges, and give back all they took", async () => {
    let given = 0;
    const silent = await serve((request) => void request.socket.on("close", () => given++));
    const good = await serve(answering(200));
    const retry = { retry_on: "5xx", num_retries: 1, per_try_timeout: "0.3s" };
    await using rig = await rigWith(
      [silent, good],
      routesWith(retry, { timeout: "10s", hedge_policy: { hedge_on_per_try_timeout: true } }),
      { circuit_breakers: { thresholds: [{ max_requests: 2, max_retries: 1 }] } },
    );
    // Each try counts. The limits let through two and one retry at a time: what is not given back stops the third.
    assert.deepEqual(await statuses(rig, 4), [200, 200, 200, 200]);
    assert.equal(rig.counters.retries, 2);
    // The tries that lost are given up.
    await eventually(async () => (await get(rig)).ok && given >= 2, "the end of the silent tries");
    const { cluster } = rig.records[0]!;
    const { requests, retries, pending } = cluster!.limits.default.used;
    assert.deepEqual({ requests, retries, pending }, { requests: 0, retries: 0, pending: 0 });
    assert.deepEqual(
      cluster!.members.map(({ activeRequests }) => activeRequests),
      [0, 0],
    );
  });

  it("answer 504 UT when no try is left", async () => {
    const silent = await serve(() => undefined);
    await using rig = await rigWith(
      [silent],
      routesWith({ retry_on: "connect-failure", num_retries: 1, per_try_timeout: "0.3s" }, { timeout: "10s" }),
    );
    assert.deepEqual(await statuses(rig, 1), [504]);
    assert.deepEqual(
      rig.records.map(({ flag, details }) => [flag, details]),
      [["UT", "upstream_per_try_timeout"]],
    );
  });

  it("stay within the cluster's limit", async () => {
    const port = await serve(answering(503));
    const breakers = { thresholds: [{ max_retries: 0 }] };
    await using rig = await rigWith([port], routesWith({ retry_on: "5xx", num_retries: 3 }), {
      circuit_breakers: breakers,
    });
    assert.deepEqual(await statuses(rig, 1), [503]);
    assert.equal(rig.counters.retries, 0);
  });
});

describe("limits", () => {
  it("refuse a request beyond max_requests with 503 UO, and give back what was taken", async () => {
    const held: (() => void)[] = [];
    let arrived: () => void = () => undefined;
    const port = await serve((_request, response) => {
      held.push(() => response.end("done"));
      arrived();
    });
    await using rig = await rigWith([port], routesWith(undefined), {
      circuit_breakers: { thresholds: [{ max_requests: 1 }] },
    });
    const isThere = new Promise<void>((resolve) => (arrived = resolve));
    const first = get(rig);
    await isThere;
    const second = await get(rig);
    assert.deepEqual([second.status, second.headers.get("x-envoy-overloaded")], [503, "true"]);
    held[0]!();
    assert.equal((await first).status, 200);
    const third = get(rig);
    await new Promise<void>((resolve) => (arrived = resolve));
    held[1]!();
    assert.equal((await third).status, 200);
    assert.deepEqual(rig.records.map(({ flag }) => flag).sort(), ["-", "-", "UO"]);
  });
});

describe("outlier detection", () => {
  it("takes an endpoint out after failures in a row", async () => {
    let failed = 0;
    const bad = await serve((_request, response) => {
      failed++;
      response.writeHead(500).end();
    });
    const good = await serve(answering(200));
    await using rig = await rigWith([bad, good], routesWith(undefined), {
      outlier_detection: { consecutive_5xx: 3, interval: "600s", max_ejection_percent: 50 },
    });
    const found = await statuses(rig, 20);
    assert.equal(failed, 3);
    assert.deepEqual(
      found.slice(6),
      Array.from({ length: 14 }, () => 200),
    );
  });

  it("leaves in what the maximum part forbids to take out", async () => {
    let failed = 0;
    const bad = await serve((_request, response) => {
      failed++;
      response.writeHead(500).end();
    });
    const good = await serve(answering(200));
    await using rig = await rigWith([bad, good], routesWith(undefined), {
      outlier_detection: { consecutive_5xx: 3, interval: "600s" },
    });
    await statuses(rig, 20);
    assert.equal(failed, 10);
  });
});

describe("mirroring", () => {
  it("sends a copy elsewhere, body and all, whose answer nobody sees and whose failure nobody feels", async () => {
    const copies: string[] = [];
    let arrived: () => void = () => undefined;
    const isThere = new Promise<void>((resolve) => (arrived = resolve));
    const shadow = await serve((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        copies.push(`${request.method} ${request.headers.host?.replace(/\d+$/, "PORT")} ${body}`);
        response.writeHead(500).end("nobody reads this");
        arrived();
      });
    });
    const port = await serve(answering(200));
    const routes = routesWith(undefined, { request_mirror_policies: [{ cluster: "shadow" }, { cluster: "missing" }] });
    await using rig = await startRig({
      routes,
      clusters: [staticCluster("c", [port]), staticCluster("shadow", [shadow])],
    });
    assert.deepEqual(await statuses(rig, 1, { method: "POST", body: "twice" }), [200]);
    await isThere;
    assert.deepEqual(copies, ["POST 127.0.0.1-shadow:PORT twice"]);
    assert.equal(rig.records.length, 1);
  });
});

describe("the breaker of consecutive failures", () => {
  it("opens after its failures, probes with one request, and closes when that is answered", async () => {
    let isBroken = true;
    let asked = 0;
    const port = await serve((_request, response) => {
      asked++;
      response.writeHead(isBroken ? 500 : 200).end();
    });
    const good = await serve(answering(200));
    const accrual = { max_failures: 3, min_penalty: "0.2s", jitter_ratio: 0 };
    await using rig = await rigWith([port, good], routesWith(undefined), {
      metadata: { filter_metadata: { "wherry.failure_accrual": accrual } },
    });
    await statuses(rig, 10);
    assert.equal(asked, 3);
    // The penalty passes: one request is the probe, and fails; the next penalty is longer.
    await eventually(async () => (await statuses(rig, 2)) && asked === 4, "the first probe");
    isBroken = false;
    await eventually(async () => (await statuses(rig, 2)) && asked > 4, "the second probe");
    const before = asked;
    assert.deepEqual(
      await statuses(rig, 10),
      Array.from({ length: 10 }, () => 200),
    );
    assert.equal(asked - before, 5);
  });
});

/** Tries until `test` holds. */
async function eventually(test: () => Promise<boolean>, what: string): Promise<void> {
  for (const untilMs = performance.now() + 10_000; !(await test());)
    assert.ok(performance.now() < untilMs, `never came: ${what}`);
}

describe("endpoints whose health is DEGRADED", () => {
  /** How many of `count` requests each of the endpoints got, which have these healths. */
  async function sharesOf(healths: readonly string[], count: number, more: object = {}): Promise<readonly number[]> {
    const shares = healths.map(() => 0);
    const ports = await Promise.all(
      healths.map((_, at) => serve((_request, response) => (shares[at]!++, void response.end()))),
    );
    const lb_endpoints = ports.map((port, at) => ({
      endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } },
      health_status: healths[at]!,
    }));
    const load_assignment = { cluster_name: "c", endpoints: [{ lb_endpoints }] };
    await using rig = await rigWith([], routesWith(undefined), { load_assignment, ...more });
    assert.deepEqual(new Set(await statuses(rig, count)), new Set([200]));
    return shares;
  }

  it("get nothing while the healthy ones are enough", async () => {
    assert.deepEqual(await sharesOf(["HEALTHY", "HEALTHY", "HEALTHY", "DEGRADED"], 12), [4, 4, 4, 0]);
  });

  it("get everything where nothing is healthy", async () => {
    const never = { common_lb_config: { healthy_panic_threshold: { value: 0 } } };
    for (const more of [{}, never]) assert.deepEqual(await sharesOf(["DEGRADED", "UNHEALTHY"], 6, more), [6, 0]);
  });

  it("get what the healthy ones cannot take", async () => {
    // Half of them are healthy: 1.4 times that is 70 %.
    const [healthy, degraded] = await sharesOf(["HEALTHY", "DEGRADED"], 400);
    assert.ok(Math.abs(degraded! - 120) < 30, `${healthy} healthy, ${degraded} degraded`);
  });
});
