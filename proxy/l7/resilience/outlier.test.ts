/** Ejections on a clock of their own. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OutlierDetector, type OutlierSpec, OutlierState } from "./outlier.ts";

const spec: OutlierSpec = {
  consecutive5xx: 5,
  consecutiveGateway: 5,
  consecutiveLocal: 5,
  enforce: { "5xx": 100, gateway: 0, local: 100, successRate: 100, failurePercentage: 0 },
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  ejectionMsMax: 300_000,
  jitterMsMax: 0,
  ejectedPercentMax: 50,
  alwaysEjectsOne: false,
  splitsLocalErrors: false,
  successRate: { hostsMin: 5, requestsMin: 100, factor: 1900 },
  failurePercentage: { hostsMin: 5, requestsMin: 50, threshold: 85 },
};

interface Host {
  readonly outlier: OutlierState;
}

function detectorOf(count: number, changes: Partial<OutlierSpec> = {}) {
  const hosts: Host[] = Array.from({ length: count }, () => ({ outlier: new OutlierState() }));
  const time = { nowMs: 0, changes: 0 };
  const detector = new OutlierDetector<Host>({ ...spec, ...changes }, () => hosts, {
    nowMs: () => time.nowMs,
    random: () => 0.5,
    onChange: () => void time.changes++,
  });
  const report = (host: Host, status: number, times: number): void => {
    for (let each = 0; each < times; each++) detector.report(host, { kind: "status", status });
  };
  return { detector, hosts, time, report };
}

describe("OutlierDetector", () => {
  it("counts failures in a row only", () => {
    const { hosts, report } = detectorOf(4);
    report(hosts[0]!, 500, 4);
    report(hosts[0]!, 200, 1);
    report(hosts[0]!, 500, 4);
    assert.equal(hosts[0]!.outlier.isEjected, false);
    report(hosts[0]!, 500, 1);
    assert.equal(hosts[0]!.outlier.isEjected, true);
  });

  it("takes back after the base time, and out for longer each time", () => {
    const { detector, hosts, time, report } = detectorOf(4);
    const [host] = hosts;
    report(host!, 500, 5);
    time.nowMs = 29_999;
    detector.sweep();
    assert.equal(host!.outlier.isEjected, true);
    time.nowMs = 30_000;
    detector.sweep();
    assert.equal(host!.outlier.isEjected, false);
    report(host!, 500, 5);
    assert.equal(host!.outlier.ejectedUntilMs, 30_000 + 60_000);
    // Out, in, out: each was told.
    assert.equal(time.changes, 3);
  });

  it("forgets an ejection for each interval that an endpoint behaves", () => {
    const { detector, hosts, time, report } = detectorOf(4);
    const [host] = hosts;
    report(host!, 500, 5);
    time.nowMs = 30_000;
    detector.sweep();
    detector.sweep();
    report(host!, 500, 5);
    assert.equal(host!.outlier.ejectedUntilMs, 60_000);
  });

  it("never takes out more than the maximum part", () => {
    const { hosts, report } = detectorOf(4);
    for (const host of hosts) report(host, 500, 5);
    assert.equal(hosts.filter(({ outlier }) => outlier.isEjected).length, 2);
  });

  it("takes one out of few only where that is allowed", () => {
    const few = detectorOf(2, { ejectedPercentMax: 10 });
    few.report(few.hosts[0]!, 500, 5);
    assert.equal(few.hosts[0]!.outlier.isEjected, false);
    const one = detectorOf(2, { ejectedPercentMax: 10, alwaysEjectsOne: true });
    one.report(one.hosts[0]!, 500, 5);
    assert.equal(one.hosts[0]!.outlier.isEjected, true);
  });

  it("tells local errors apart where that is asked for", () => {
    const { detector, hosts } = detectorOf(4, { splitsLocalErrors: true, consecutiveLocal: 2 });
    detector.report(hosts[0]!, { kind: "local" });
    detector.report(hosts[0]!, { kind: "local" });
    assert.deepEqual([hosts[0]!.outlier.isEjected, detector.ejections.local], [true, 1]);
  });

  it("takes out who succeeds far less often than the others", () => {
    const { detector, hosts, report } = detectorOf(10, { consecutive5xx: 0 });
    for (const [at, host] of hosts.entries())
      for (let each = 0; each < 100; each++) report(host, at === 0 && each % 2 === 0 ? 500 : 200, 1);
    detector.sweep();
    assert.deepEqual(
      hosts.map(({ outlier }) => outlier.isEjected),
      hosts.map((_, at) => at === 0),
    );
    assert.equal(detector.ejections.successRate, 1);
  });
});
