/** From a change of endpoints to the kernel, as kube-proxy's histogram tells it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { endpoint, named, service } from "./l4/fixture.ts";
import { FakeNft } from "./l4/nft/fake.ts";
import { createNodeProxy } from "./state.ts";

const name = "kubeproxy_network_programming_duration_seconds";
const startMs = 1_800_000_000_000;

/** The lines of the histogram that say how often and how long in all. */
const totals = (page: string): readonly string[] =>
  page.split("\n").filter((line) => line.startsWith(`${name}_sum`) || line.startsWith(`${name}_count`));

describe("kubeproxy_network_programming_duration_seconds", () => {
  it("counts from when endpoints changed to when the kernel holds it, once for each change and family", async () => {
    const [clock, nft] = [new ManualClock(startMs), new FakeNft()];
    const proxy = createNodeProxy({ exec: nft.exec, clock, random: seededRandom(1), log: silentLogger });
    const web = service("web", "10.96.1.1", { clusterIPs: ["10.96.1.1", "fd00::1"] });
    const at = (changedMs: number, ...targets: readonly string[]): ReturnType<typeof named> =>
      named({ ...web, endpoints: targets.map((target) => endpoint(target)), changedMs });

    proxy.apply(at(startMs - 60_000, "10.244.1.2:80"), []);
    proxy.markSynced();
    await proxy.programmed();
    assert.deepEqual(totals(proxy.metrics.collect()), [], "what was before this proxy is not its doing");

    await clock.advance(5000);
    proxy.apply(at(startMs + 2000, "10.244.1.3:80"), []);
    await proxy.programmed();
    const once = ["IPv4", "IPv6"].flatMap((family) => [
      `${name}_sum{ip_family="${family}"} 3`,
      `${name}_count{ip_family="${family}"} 1`,
    ]);
    assert.deepEqual(totals(proxy.metrics.collect()), once);
    assert.match(proxy.metrics.collect(), new RegExp(`${name}_bucket{ip_family="IPv4",le="2"} 0`));
    assert.match(proxy.metrics.collect(), new RegExp(`${name}_bucket{ip_family="IPv4",le="3"} 1`));

    // The Service changed, its endpoints did not; and one of two slices went, which leaves the older time.
    proxy.apply(at(startMs + 2000, "10.244.1.3:80"), []);
    proxy.apply(at(startMs + 1000, "10.244.1.3:80"), []);
    await proxy.programmed();
    assert.deepEqual(totals(proxy.metrics.collect()), once);
    proxy.close();
  });

  it("takes the first of changes that wait, and the whole time that nft refused", async () => {
    const [clock, nft] = [new ManualClock(startMs), new FakeNft()];
    const proxy = createNodeProxy({ exec: nft.exec, clock, random: seededRandom(1), log: silentLogger });
    const web = service("web", "10.96.1.1");
    proxy.markSynced();
    await proxy.programmed();
    await clock.advance(1000);
    nft.failNext = true;
    proxy.apply(named({ ...web, endpoints: [endpoint("10.244.1.2:80")], changedMs: startMs + 1000 }), []);
    proxy.apply(named({ ...web, endpoints: [endpoint("10.244.1.3:80")], changedMs: startMs + 1001 }), []);
    const programmed = proxy.programmed();
    await clock.advance(0);
    assert.equal(proxy.metrics.syncFailures, 1);
    assert.deepEqual(totals(proxy.metrics.collect()), []);
    await clock.advance(1000);
    await programmed;
    const [sum = "", count] = totals(proxy.metrics.collect());
    assert.equal(count, `${name}_count{ip_family="IPv4"} 1`);
    const seconds = Number(sum.split(" ")[1]);
    assert.ok(seconds >= 0.08 && seconds <= 0.12, `the retry came after 100 ms ± 20 %: ${sum}`);
    proxy.close();
  });
});
