/** Text format, bounds, and what the workqueue and stats pages say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { Workqueue } from "../client/workqueue.ts";
import { Counter, Gauge, Histogram, exponentialBounds, renderPage, seriesMax } from "./exposition.ts";
import { renderContainers, renderKubelet } from "./node-stats.ts";
import { createProcessMetrics } from "./process.ts";
import { WorkqueueMetrics } from "./workqueue.ts";

test("renderPage() writes counters, gauges and histograms in text format", () => {
  const counter = new Counter({ name: "a_total", help: "A.", labels: ["code"] });
  counter.add({ code: 'x"\\\n' });
  counter.add({ code: 'x"\\\n' }, 2);
  const gauge = new Gauge({ name: "b", help: "B." });
  const histogram = new Histogram({ name: "c_seconds", help: "C.", bounds: exponentialBounds(0.5, 2, 2) });
  for (const value of [0.5, 0.6, 7]) histogram.observe({}, value);
  assert.equal(
    renderPage([counter, gauge, histogram]),
    `# HELP a_total A.
# TYPE a_total counter
a_total{code="x\\"\\\\\\n"} 3
# HELP b B.
# TYPE b gauge
b 0
# HELP c_seconds C.
# TYPE c_seconds histogram
c_seconds_bucket{le="0.5"} 1
c_seconds_bucket{le="1"} 2
c_seconds_bucket{le="+Inf"} 3
c_seconds_sum 8.1
c_seconds_count 3
`,
  );
});

test("Counter adds what comes beyond its bound to one series", () => {
  const counter = new Counter({ name: "a_total", help: "A.", labels: ["code"] });
  for (let at = 0; at < seriesMax + 3; at++) counter.add({ code: String(at) });
  const lines = counter.render();
  assert.equal(lines.length, 2 + seriesMax + 1);
  assert.equal(lines.at(-1), 'a_total{code="other"} 3');
});

test("WorkqueueMetrics counts under client-go's names", async () => {
  const clock = new ManualClock();
  const metrics = new WorkqueueMetrics(clock);
  const held = Promise.withResolvers<void>();
  const reconcile = (key: string): Promise<void> => (key === "slow" ? held.promise : Promise.resolve());
  const queue = new Workqueue({
    name: "q",
    reconcile,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    observer: metrics,
  });
  queue.add("slow");
  queue.add("slow");
  await clock.advance(1000);
  queue.start(AbortSignal.any([]));
  queue.add("next");
  await clock.advance(2000);
  const page = renderPage([metrics]);
  for (const line of [
    'workqueue_adds_total{name="q"} 2',
    'workqueue_queue_duration_seconds_sum{name="q"} 1',
    'workqueue_depth{name="q"} 1',
    'workqueue_unfinished_work_seconds{name="q"} 2',
    'workqueue_longest_running_processor_seconds{name="q"} 2',
  ])
    assert.ok(page.includes(`${line}\n`), `${line} in\n${page}`);
  held.reject(new Error("no"));
  await clock.advance(0);
  const after = renderPage([metrics]);
  assert.ok(after.includes('workqueue_retries_total{name="q"} 1\n'), after);
  assert.ok(after.includes('workqueue_work_duration_seconds_count{name="q"} 2\n'), after);
});

test("renderKubelet() and renderContainers() say what the summary says", () => {
  const time = "2026-01-01T00:00:00Z";
  const use = (ns: number, bytes: number) => ({
    cpu: { time, usageNanoCores: 1, usageCoreNanoSeconds: ns },
    memory: { time, workingSetBytes: bytes },
  });
  const summary = {
    node: { nodeName: "node1", ...use(5e9, 100) },
    pods: [{ podRef: { name: "a", namespace: "default", uid: "u" }, containers: [{ name: "app", ...use(2.5e9, 50) }] }],
  };
  assert.match(renderKubelet(summary), /^kubelet_running_pods 1\n/m);
  assert.match(renderKubelet(summary), /^kubelet_running_containers\{container_state="running"\} 1\n/m);
  const page = renderContainers(summary);
  assert.match(page, /^container_cpu_usage_seconds_total\{container="app",namespace="default",pod="a"\} 2.5\n/m);
  assert.match(page, /^node_memory_working_set_bytes 100\n/m);
});

test("createProcessMetrics() says what this process uses", () => {
  const page = createProcessMetrics(new ManualClock())();
  for (const name of ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"])
    assert.match(page, new RegExp(`^${name} [0-9.e+]+$`, "m"));
});
