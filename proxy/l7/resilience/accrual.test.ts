/** The breaker of one endpoint: who is its probe, and whose end decides. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually, raw, startRig, startUpstream, staticCluster } from "../fixture.ts";
import { FailureAccrual, accrualDefault } from "./accrual.ts";

/** Opened by its first failure, and half-open when it is given. `changes`: how often it has told so. */
async function halfOpen(): Promise<{ readonly accrual: FailureAccrual; readonly changes: () => number }> {
  let count = 0;
  let wake: () => void = () => undefined;
  const isHalfOpen = new Promise<void>((resolve) => (wake = resolve));
  const spec = { ...accrualDefault, failuresMax: 1, penaltyMinMs: 1, jitter: 0 };
  const accrual: FailureAccrual = new FailureAccrual(spec, { next: () => 0 }, () => {
    count++;
    if (accrual.isAdmitting) wake();
  });
  assert.equal(accrual.begin(), false);
  accrual.report(true);
  assert.equal(accrual.isAdmitting, false);
  await isHalfOpen;
  return { accrual, changes: () => count };
}

describe("FailureAccrual", () => {
  it("makes the first request of its half-open state the probe, and no other", async () => {
    const { accrual } = await halfOpen();
    assert.deepEqual([accrual.begin(), accrual.begin(), accrual.isAdmitting], [true, false, false]);
    accrual.close();
  });

  it("is not decided by requests that began before", async () => {
    const { accrual, changes } = await halfOpen();
    accrual.begin();
    const before = changes();
    // A late answer, a late failure: neither lets another request in, nor anybody out.
    accrual.report(false);
    accrual.report(true);
    assert.deepEqual([accrual.isAdmitting, changes()], [false, before]);
    accrual.judge(false);
    assert.deepEqual([accrual.isAdmitting, accrual.begin()], [true, false]);
    accrual.close();
  });

  it("opens again by a probe that fails, and takes another when one is abandoned", async () => {
    const { accrual } = await halfOpen();
    accrual.begin();
    accrual.abandon();
    assert.deepEqual([accrual.isAdmitting, accrual.begin()], [true, true]);
    accrual.judge(true);
    assert.deepEqual([accrual.isAdmitting, accrual.begin()], [false, false]);
    accrual.close();
  });
});

describe("the breaker of consecutive failures", () => {
  it("goes on probing when requests end that began before it opened", async () => {
    const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n`;
    const held: (() => void)[] = [];
    await using upstream = await startUpstream((socket) =>
      socket.once("data", (chunk: Buffer) => {
        if (chunk.includes("/fails")) socket.end("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
        else held.push(() => void socket.end(ok));
      }),
    );
    const accrual = { max_failures: 1, min_penalty: "0.05s", jitter_ratio: 0 };
    const cluster = {
      ...staticCluster("c", [upstream.port]),
      common_lb_config: { healthy_panic_threshold: { value: 0 } },
      metadata: { filter_metadata: { "wherry.failure_accrual": accrual } },
    };
    const routes = [{ match: { prefix: "/" }, route: { cluster: "c" } }];
    const table = { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] };
    await using rig = await startRig({ routes: table, clusters: [cluster] });
    const [endpoint] = rig.cluster("c").members;
    const old = raw(rig.port, get("/old"));
    await eventually(() => held.length === 1, "the old request");
    assert.match(await raw(rig.port, get("/fails")), / 500 /);
    await eventually(() => endpoint!.isHealthy, "the end of the penalty");
    const probe = raw(rig.port, get("/probe"));
    await eventually(() => held.length === 2, "the probe");
    held[0]!();
    assert.match(await old, / 200 /);
    // Its answer does not close the breaker, and its end lets no second probe in.
    assert.match(await raw(rig.port, get("/more")), / 503 /);
    assert.deepEqual([held.length, endpoint!.isHealthy], [2, false]);
    held[1]!();
    assert.match(await probe, / 200 /);
    assert.equal(endpoint!.isHealthy, true);
  });
});
