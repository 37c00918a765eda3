/**
 * What every Prometheus client library says of its own process: CPU, memory, descriptors, start time; and how busy
 * Node's event loop is.
 *
 *   renderProcess() ─▶ appended to each component's page
 *
 * Read when somebody asks; nothing runs in between.
 */
import { readFileSync, readdirSync } from "node:fs";
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import type { Clock } from "#lib/clock.ts";
import { Counter, Gauge, renderPage } from "./exposition.ts";

/** Renders the page's part about this process. Make one for each process. */
export function createProcessMetrics(clock: Pick<Clock, "nowMs">): () => string {
  const startSeconds = clock.nowMs() / 1000 - process.uptime();
  let last: EventLoopUtilization | undefined;
  return () => {
    const cpu = new Counter({ name: "process_cpu_seconds_total", help: "CPU time of this process, in seconds." });
    const { user, system } = process.cpuUsage();
    cpu.add({}, (user + system) / 1e6);
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    const { rss, heapUsed } = process.memoryUsage();
    const gauges = [
      ["process_start_time_seconds", "Start of this process, in seconds since 1970.", startSeconds],
      ["process_resident_memory_bytes", "Resident memory of this process.", rss],
      ["process_open_fds", "Open file descriptors.", countDescriptors()],
      ["process_max_fds", "Most file descriptors that may be open.", descriptorsMax()],
      ["nodejs_heap_size_used_bytes", "Used part of the heap.", heapUsed],
      [
        "nodejs_eventloop_utilization",
        "Share of the time since the last reading that the event loop worked.",
        utilization,
      ],
    ] as const;
    return renderPage([
      cpu,
      ...gauges.map(([name, help, value]) => {
        const gauge = new Gauge({ name, help });
        gauge.set({}, value);
        return gauge;
      }),
    ]);
  };
}

function countDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function descriptorsMax(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 0);
}
