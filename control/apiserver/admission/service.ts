/**
 * Services: allocates cluster IPs and node ports, honours the ones asked for, and carries the allocated ones over an
 * update.
 *
 *   chain.ts ─▶ inherit() (pure) ─▶ allocation over service-allocator.ts ─▶ Service with addresses
 *
 * Invariant: what is allocated here is reserved until the write has settled; the cache's events take over from there.
 * Follows: kube-apiserver pkg/registry/core/service (alloc.go, strategy.go patchAllocatedValues and
 * dropTypeDependentFields).
 */
import { type Service, type ServicePort, services } from "#api/core/service.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import { type FieldError, invalidError, invalidValue } from "#api/schema/field-error.ts";
import { StatusError } from "#api/status.ts";
import type { AdmissionInput, AdmissionPlugin } from "./admission.ts";

export const serviceAllocation: AdmissionPlugin = {
  name: "ServiceAllocation",
  resource: "core/services",
  onUpdate: true,
  admit(input): Service {
    const sent = input.object as Service;
    // Validation, which comes later, complains about a spec that is missing.
    if (sent.spec === undefined) return sent;
    const previous = input.previous as Service | undefined;
    const service = previous === undefined ? sent : inherit(sent, previous);
    return allocatePorts(input, allocateAddress(input, service));
  },
};

/** What an update that does not mention addresses and node ports keeps, and what its new type makes meaningless. Pure. */
export function inherit(next: Service, previous: Service): Service {
  const before = previous.spec;
  const { clusterIP, clusterIPs, ...spec } = next.spec;
  const isSame = clusterIP === before.clusterIP;
  const sent = clusterIP === undefined || clusterIP === "" ? {} : { clusterIP, clusterIPs: clusterIPs ?? [clusterIP] };
  if (spec.type === "ExternalName") return { ...next, spec: isSame ? spec : { ...spec, ...sent } };
  const kept =
    before.type === "ExternalName" || before.clusterIP === undefined
      ? {}
      : { clusterIP: before.clusterIP, clusterIPs: before.clusterIPs ?? [before.clusterIP] };
  const addresses = Object.keys(sent).length > 0 ? sent : kept;
  const ports = spec.ports?.map((port) => inheritNodePort(port, next, previous));
  return { ...next, spec: { ...spec, ...addresses, ...(ports === undefined ? {} : { ports }) } };
}

function inheritNodePort(port: ServicePort, next: Service, previous: Service): ServicePort {
  const old = previous.spec.ports?.find((other) => other.port === port.port && other.protocol === port.protocol);
  const { nodePort, ...rest } = port;
  if (hasNodePorts(next))
    return nodePort === undefined && old?.nodePort !== undefined ? { ...rest, nodePort: old.nodePort } : port;
  // A node port that came back unchanged from a read is not one that the user asks for.
  return nodePort !== undefined && nodePort === old?.nodePort ? rest : port;
}

function allocateAddress(input: AdmissionInput, service: Service): Service {
  const { registry, settle } = input;
  const { spec } = service;
  if (spec.type === "ExternalName" || spec.clusterIP === "None") return service;
  const owner = formatKey(keyOf(service));
  const before = (input.previous as Service | undefined)?.spec;
  const asked = spec.clusterIP ?? "";
  if (asked !== "") {
    if (before?.type !== "ExternalName" && before?.clusterIP !== undefined && before.clusterIP !== asked)
      throw refuse(service, [invalidValue("spec.clusterIPs[0]", [asked], "may not change once set")]);
    if (!registry.services.isInRange(asked))
      throw refuse(service, [failed(asked, "provided IP is not in the valid range of the service network")]);
    if (registry.services.isTaken(asked, owner))
      throw refuse(service, [failed(asked, "provided IP is already allocated")]);
    settle(registry.services.reserve(asked, owner));
    return service;
  }
  const address = registry.services.pickAddress();
  if (address === undefined)
    throw new StatusError("InternalError", `Cannot allocate a cluster IP for ${owner}: the service network is used up`);
  settle(registry.services.reserve(address, owner));
  return { ...service, spec: { ...spec, clusterIP: address, clusterIPs: [address] } };
}

function allocatePorts(input: AdmissionInput, service: Service): Service {
  const { spec } = service;
  if (!hasNodePorts(service) || spec.ports === undefined) return service;
  const { registry, settle } = input;
  const owner = formatKey(keyOf(service));
  const mine = new Map<number, string[]>();
  const ports = spec.ports.map((port, index) => {
    const nodePort =
      port.nodePort === undefined || port.nodePort === 0 ? registry.services.pickNodePort() : port.nodePort;
    const path = `spec.ports[${index}].nodePort`;
    if (nodePort === undefined)
      throw new StatusError("InternalError", `Cannot allocate a node port for ${owner}: all are in use`);
    const protocols = mine.get(nodePort) ?? [];
    // One Service may have a node port twice, for different protocols: DNS does.
    if (registry.services.isTaken(nodePort, owner) || protocols.includes(port.protocol ?? "TCP"))
      throw refuse(service, [invalidValue(path, nodePort, "provided port is already allocated")]);
    if (!registry.services.isNodePort(nodePort))
      throw refuse(service, [invalidValue(path, nodePort, "provided port is not in the valid range of node ports")]);
    mine.set(nodePort, [...protocols, port.protocol ?? "TCP"]);
    settle(registry.services.reserve(nodePort, owner));
    return { ...port, nodePort };
  });
  return { ...service, spec: { ...spec, ports } };
}

function hasNodePorts({ spec }: Service): boolean {
  return spec.type === "NodePort" || spec.type === "LoadBalancer";
}

function failed(address: string, why: string): FieldError {
  return invalidValue("spec.clusterIPs", [address], `failed to allocate IP ${address}: ${why}`);
}

function refuse(service: Service, errors: readonly FieldError[]): StatusError {
  return invalidError(services, service.metadata.name, errors);
}
