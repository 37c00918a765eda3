/** Targets and configuration of Prometheus, as Kubernetes service discovery would have them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { roles, toHTTPDiscovery } from "./config.ts";
import { endpointSliceTargets, nodeTargets, podTargets } from "./targets.ts";

test("podTargets() makes a target of each port, with labels as Prometheus names them", () => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", namespace: "default", uid: "u", annotations: { "sidecar.wherry.dev/status": "injected" } },
    spec: {
      nodeName: "node1",
      containers: [{ name: "app", image: "i", ports: [{ containerPort: 80 }] }, { name: "b" }],
    },
    status: { phase: "Running" as const, podIP: "10.244.1.2" },
  };
  const [first, second, ...others] = podTargets([pod, { ...pod, status: { phase: "Pending" } }]);
  assert.deepEqual(others, []);
  assert.deepEqual(first?.targets, ["10.244.1.2:80"]);
  assert.deepEqual(second?.targets, ["10.244.1.2"]);
  assert.equal(first?.labels["__meta_kubernetes_pod_annotation_sidecar_wherry_dev_status"], "injected");
  assert.equal(first?.labels["__meta_kubernetes_pod_annotationpresent_sidecar_wherry_dev_status"], "true");
  assert.equal(first?.labels["__meta_kubernetes_pod_phase"], "Running");
  assert.equal(first?.labels["__meta_kubernetes_pod_container_port_number"], "80");
});

test("nodeTargets() and endpointSliceTargets() name the kubelet and each address", () => {
  const status = { addresses: [{ type: "InternalIP" as const, address: "100.64.0.2" }] };
  const [node] = nodeTargets([{ apiVersion: "v1", kind: "Node", metadata: { name: "node1" }, status }]);
  assert.deepEqual(node?.targets, ["100.64.0.2:10250"]);
  assert.equal(node?.labels["__meta_kubernetes_node_address_InternalIP"], "100.64.0.2");
  const [slice] = endpointSliceTargets([
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "s", namespace: "default", labels: { "kubernetes.io/service-name": "kubernetes" } },
      addressType: "IPv4",
      endpoints: [{ addresses: ["100.64.0.1"] }],
      ports: [{ name: "https", port: 6443, protocol: "TCP" }],
    },
  ]);
  assert.deepEqual(slice?.targets, ["100.64.0.1:6443"]);
  assert.equal(slice?.labels["__meta_kubernetes_endpointslice_label_kubernetes_io_service_name"], "kubernetes");
});

test("toHTTPDiscovery() asks for the same roles by HTTP, and leaves the rest", () => {
  const file = join(import.meta.dirname, "..", "..", "charts", "prometheus", "prometheus.yaml");
  interface Config {
    scrape_configs: {
      job_name: string;
      relabel_configs: unknown;
      kubernetes_sd_configs?: { role: string }[];
      http_sd_configs?: { url: string }[];
    }[];
  }
  const before = parse(readFileSync(file, "utf8")) as Config;
  const after = parse(toHTTPDiscovery(readFileSync(file, "utf8"), { file, base: "http://127.0.0.1:1" })) as Config;
  assert.equal(after.scrape_configs.length, before.scrape_configs.length);
  for (const [at, job] of after.scrape_configs.entries()) {
    const [discovery] = before.scrape_configs[at]!.kubernetes_sd_configs ?? [];
    assert.ok((roles as readonly string[]).includes(discovery!.role), job.job_name);
    assert.equal(job.kubernetes_sd_configs, undefined);
    assert.match(
      job.http_sd_configs![0]!.url,
      new RegExp(`^http://127.0.0.1:1/${discovery!.role}(\\?namespace=default)?$`),
    );
    assert.deepEqual(job.relabel_configs, before.scrape_configs[at]!.relabel_configs);
  }
});

test("toHTTPDiscovery() names the file that it cannot read", () => {
  for (const [text, problem] of [
    ["scrape_configs: []\n---\nscrape_configs: []\n", "it has 2 YAML documents, wanted one"],
    ["[]", "it is no YAML object"],
    ["scrape_configs: {}", "scrape_configs: wanted a list"],
  ] as const)
    assert.throws(() => toHTTPDiscovery(text, { file: "p.yaml", base: "http://127.0.0.1:1" }), {
      name: "CliError",
      message: `Cannot read p.yaml: ${problem}`,
    });
});
