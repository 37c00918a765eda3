/**
 * What the schema of a Service cannot say: rules across fields, and what an update inherits.
 *
 *   service.ts ─▶ defaultService(), serviceErrors()
 *
 * Pure. Addresses and node ports are allocated by the API server's admission, after these defaults.
 * Follows: k8s.io/kubernetes pkg/apis/core/{v1/defaults.go,validation/validation.go}.
 */
import { isIPv4, isIPv6 } from "node:net";
import { type FieldError, duplicateValue, forbidden, invalidValue, requiredError } from "../schema/field-error.ts";
import { formatError } from "../schema/format.ts";
import { failureAccrualErrors } from "./failure-accrual.ts";
import type { LoadBalancerIngress, Service, ServicePort } from "./service.ts";
import { specialAddressErrors } from "./special-address.ts";

/** The Service with target ports, and the fields that depend on its type, filled in. */
export function defaultService(service: Service): Service {
  const { spec } = service;
  if (spec === undefined) return service;
  const type = spec.type ?? "ClusterIP";
  const isExternal = type === "NodePort" || type === "LoadBalancer";
  const clusterIP = spec.clusterIP ?? spec.clusterIPs?.[0];
  return {
    ...service,
    spec: {
      ...spec,
      ...(clusterIP === undefined || clusterIP === "" ? {} : { clusterIP, clusterIPs: spec.clusterIPs ?? [clusterIP] }),
      ...(spec.ports === undefined ? {} : { ports: spec.ports.map(defaultPort) }),
      ...(type === "ExternalName" ? {} : { internalTrafficPolicy: spec.internalTrafficPolicy ?? "Cluster" }),
      ...(isExternal ? { externalTrafficPolicy: spec.externalTrafficPolicy ?? "Cluster" } : {}),
      ...(type === "ExternalName"
        ? {}
        : { ipFamilies: spec.ipFamilies ?? ["IPv4"], ipFamilyPolicy: spec.ipFamilyPolicy ?? "SingleStack" }),
    },
  };
}

function defaultPort(port: ServicePort): ServicePort {
  return port.targetPort === undefined || port.targetPort === "" || port.targetPort === 0
    ? { ...port, targetPort: port.port }
    : port;
}

/** What is wrong across the fields of a Service. */
export function serviceErrors({ metadata, spec, status }: Service): FieldError[] {
  const errors = [
    ...portErrors(spec),
    ...addressErrors(spec),
    ...externalErrors(spec),
    ...(status?.loadBalancer?.ingress ?? []).flatMap(ingressErrors),
    ...failureAccrualErrors(metadata.annotations),
  ];
  if (spec.type === "ExternalName") {
    const error = formatError("dnsSubdomain", (spec.externalName ?? "").replace(/\.$/, ""));
    if (spec.externalName === undefined || spec.externalName === "") errors.push(requiredError("spec.externalName"));
    else if (error !== undefined) errors.push(invalidValue("spec.externalName", spec.externalName, error));
  }
  return errors;
}

function portErrors(spec: Service["spec"]): FieldError[] {
  const ports = spec.ports ?? [];
  const errors: FieldError[] = [];
  if (ports.length === 0 && spec.clusterIP !== "None" && spec.type !== "ExternalName")
    errors.push(requiredError("spec.ports"));
  for (const [index, { name, targetPort, nodePort }] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    if (ports.length > 1 && (name === undefined || name === "")) errors.push(requiredError(`${path}.name`));
    if (name !== undefined && ports.findIndex((other) => other.name === name) < index)
      errors.push(duplicateValue(`${path}.name`, name));
    if (nodePort !== undefined && nodePort !== 0 && spec.type !== "NodePort" && spec.type !== "LoadBalancer")
      errors.push(forbidden(`${path}.nodePort`, `may not be used when \`type\` is '${spec.type ?? "ClusterIP"}'`));
    errors.push(...targetPortErrors(targetPort, `${path}.targetPort`));
  }
  return errors;
}

function targetPortErrors(targetPort: ServicePort["targetPort"], path: string): FieldError[] {
  if (typeof targetPort === "string") {
    const error = formatError("portName", targetPort);
    return error === undefined ? [] : [invalidValue(path, targetPort, error)];
  }
  return targetPort === undefined || (targetPort >= 1 && targetPort <= 65_535)
    ? []
    : [invalidValue(path, targetPort, "must be between 1 and 65535, inclusive")];
}

function addressErrors(spec: Service["spec"]): FieldError[] {
  const { clusterIP, clusterIPs = [] } = spec;
  const errors: FieldError[] = [];
  if (spec.type === "ExternalName" && clusterIP !== undefined && clusterIP !== "")
    errors.push(forbidden("spec.clusterIPs", "may not be set for ExternalName services"));
  else if (clusterIP !== undefined && clusterIP !== "" && clusterIP !== "None") {
    const error = formatError("ipv4", clusterIP);
    if (error !== undefined) errors.push(invalidValue("spec.clusterIPs[0]", clusterIP, error));
  }
  if (clusterIP === "None" && (spec.type === "NodePort" || spec.type === "LoadBalancer"))
    errors.push(invalidValue("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`));
  if (clusterIPs.length > 0 && clusterIPs[0] !== clusterIP)
    errors.push(invalidValue("spec.clusterIPs", clusterIPs, "first value must match `clusterIP`"));
  if (clusterIPs.length > 1)
    errors.push(invalidValue("spec.clusterIPs", clusterIPs, "may only hold 1 value: this cluster has IPv4 alone"));
  for (const [index, family] of (spec.ipFamilies ?? []).entries())
    if (family !== "IPv4")
      errors.push(invalidValue(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"));
  if (spec.ipFamilyPolicy === "RequireDualStack")
    errors.push(
      invalidValue(
        "spec.ipFamilyPolicy",
        spec.ipFamilyPolicy,
        "this cluster is not configured for dual-stack services",
      ),
    );
  return errors;
}

function externalErrors({
  type,
  externalIPs = [],
  loadBalancerSourceRanges: ranges = [],
}: Service["spec"]): FieldError[] {
  const errors = externalIPs.flatMap((address, at) => specialAddressErrors(`spec.externalIPs[${at}]`, address));
  // Upstream's path has the capital letter.
  const path = "spec.LoadBalancerSourceRanges";
  if (ranges.length > 0 && type !== "LoadBalancer")
    errors.push(forbidden(path, "may only be used when `type` is 'LoadBalancer'"));
  for (const [at, range] of ranges.entries())
    // Kubernetes tolerates spaces around, since the value once was one text.
    if (!isCIDR(range.trim()))
      errors.push(
        invalidValue(`${path}[${at}]`, range, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
      );
  return errors;
}

function isCIDR(text: string): boolean {
  const [, address = "", bits = ""] = /^([^/]*)\/([0-9]{1,3})$/.exec(text) ?? [];
  return (isIPv4(address) && Number(bits) <= 32) || (isIPv6(address) && Number(bits) <= 128);
}

/** Source: ValidateLoadBalancerStatus. */
function ingressErrors({ ip = "", hostname = "" }: LoadBalancerIngress, at: number): FieldError[] {
  const path = `status.loadBalancer.ingress[${at}]`;
  const errors: FieldError[] = [];
  if (ip !== "" && !isIPv4(ip) && !isIPv6(ip))
    errors.push(invalidValue(`${path}.ip`, ip, "must be a valid IP address"));
  if (hostname === "") return errors;
  const error = formatError("dnsSubdomain", hostname);
  if (error !== undefined) errors.push(invalidValue(`${path}.hostname`, hostname, error));
  if (isIPv4(hostname) || isIPv6(hostname))
    errors.push(invalidValue(`${path}.hostname`, hostname, "must be a DNS name, not an IP address"));
  return errors;
}
