/**
 * A node's and its containers' use of CPU and memory under the names of the kubelet and cAdvisor.
 *
 *   kubelet.stats() ─▶ renderKubelet(), renderContainers() ─▶ /metrics, /metrics/cadvisor and /metrics/resource on 10250
 *
 * Names of pods are labels here, as in cAdvisor; a node has at most a few hundred containers.
 */
import type { StatsSummary } from "../wire/stats.ts";
import { Counter, Gauge, renderPage } from "./exposition.ts";

/** What the kubelet says of itself. */
export function renderKubelet({ node, pods }: StatsSummary): string {
  const name = new Gauge({
    name: "kubelet_node_name",
    help: "The node's name. The count is always 1.",
    labels: ["node"],
  });
  name.set({ node: node.nodeName }, 1);
  const running = new Gauge({
    name: "kubelet_running_pods",
    help: "Number of pods that have a running pod sandbox",
  });
  running.set({}, pods.length);
  const containers = new Gauge({
    name: "kubelet_running_containers",
    help: "Number of containers currently running",
    labels: ["container_state"],
  });
  containers.set(
    { container_state: "running" },
    pods.reduce((sum, pod) => sum + pod.containers.length, 0),
  );
  return renderPage([name, running, containers]);
}

/** What containers, pods and the node use. */
export function renderContainers({ node, pods }: StatsSummary): string {
  const labels = ["container", "namespace", "pod"] as const;
  const cpu = new Counter({
    name: "container_cpu_usage_seconds_total",
    help: "Cumulative cpu time consumed by the container in core-seconds",
    labels,
  });
  const memory = new Gauge({
    name: "container_memory_working_set_bytes",
    help: "Current working set of the container in bytes",
    labels,
  });
  for (const { podRef, containers } of pods) {
    for (const container of containers) {
      const at = { container: container.name, namespace: podRef.namespace, pod: podRef.name };
      cpu.add(at, container.cpu.usageCoreNanoSeconds / 1e9);
      memory.set(at, container.memory.workingSetBytes);
    }
  }
  const nodeCPU = new Counter({
    name: "node_cpu_usage_seconds_total",
    help: "Cumulative cpu time consumed by the node in core-seconds",
  });
  nodeCPU.add({}, node.cpu.usageCoreNanoSeconds / 1e9);
  const nodeMemory = new Gauge({
    name: "node_memory_working_set_bytes",
    help: "Current working set of the node in bytes",
  });
  nodeMemory.set({}, node.memory.workingSetBytes);
  return renderPage([cpu, memory, nodeCPU, nodeMemory]);
}
