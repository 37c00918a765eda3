/** Which Services have ports on the host, and what their status says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "#api/core/service.ts";
import { loadBalancerStatus, wantedHostPorts } from "./host-ports.ts";

function service(name: string, spec: Partial<Service["spec"]>, labels: Record<string, string> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop", labels },
    spec: { clusterIP: "10.96.0.7", ports: [{ port: 80, nodePort: 30_080 }], ...spec },
  };
}

const lines = (...services: Service[]): string[] =>
  wantedHostPorts(services).map(
    ({ hostPort, kind, name, address, port }) => `${hostPort} ${kind} ${name} ${address}:${port}`,
  );

test("wantedHostPorts() takes node ports and load balancers, TCP alone", () => {
  assert.deepEqual(
    lines(
      service("balanced", { type: "LoadBalancer" }),
      service("node", { type: "NodePort", ports: [{ port: 81, nodePort: 30_081 }] }),
      service("inner", { type: "ClusterIP" }),
      service("udp", { type: "NodePort", ports: [{ port: 53, protocol: "UDP", nodePort: 30_053 }] }),
      service("headless", { type: "NodePort", clusterIP: "None" }),
      service("gateway", { type: "LoadBalancer" }, { "gateway.networking.k8s.io/gateway-name": "g" }),
    ),
    [
      "80 loadBalancer balanced 10.96.0.7:80",
      "30080 nodePort balanced 10.96.0.7:80",
      "30081 nodePort node 10.96.0.7:81",
      "30080 nodePort gateway 10.96.0.7:80",
    ],
  );
});

test("loadBalancerStatus() names 127.0.0.1 once one of the Service's own ports is bound there", () => {
  const made = service("web", { type: "LoadBalancer" });
  const outcome = { namespace: "shop", name: "web", hostPort: 80, problem: undefined };
  assert.deepEqual(loadBalancerStatus(made, [outcome]), { ingress: [{ ip: "127.0.0.1", ipMode: "Proxy" }] });
  assert.deepEqual(loadBalancerStatus(made, [{ ...outcome, problem: "taken" }]), {});
  assert.deepEqual(loadBalancerStatus(made, [{ ...outcome, hostPort: 30_080 }]), {}, "a node port is no load balancer");
  assert.deepEqual(loadBalancerStatus(made, [{ ...outcome, name: "other" }]), {});
});
