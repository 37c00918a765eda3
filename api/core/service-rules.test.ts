/** What is refused of Services and of what is behind them. Rows are fields and Kubernetes' own messages. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { endpointSlices } from "../discovery/endpointslice.ts";
import type { Kind } from "../schema/kind.ts";
import { readObject, validateObject } from "../schema/read.ts";
import { endpoints } from "./endpoints.ts";
import { services } from "./service.ts";
import { serviceWarnings } from "./service-warnings.ts";

function errorsOf(kind: Kind, fields: object): string[] {
  const { group, version } = kind;
  const apiVersion = group === "" ? version : `${group}/${version}`;
  const whole = { apiVersion, kind: kind.kind, metadata: { name: "a", namespace: "default" }, ...fields };
  const { object } = readObject(kind, whole);
  return validateObject(kind, object).map(({ path, message }) => `${path}: ${message}`);
}
const serviceErrorsOf = (spec: object, more: object = {}): string[] =>
  errorsOf(services, { spec: { ports: [{ port: 80 }], ...spec }, ...more });

/** Kubernetes' ValidateNonSpecialIP. */
const special = [
  ["0.0.0.0", "may not be unspecified (0.0.0.0)"],
  ["127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  ["127.255.0.9", "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  ["169.254.1.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
  ["224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
] as const;
const usual = ["198.51.100.7", "10.244.1.2", "12.7.0.1", "169.253.1.1", "224.0.1.1", "0.0.0.1"];

describe("addresses that mean something else on each machine", () => {
  for (const [address, sentence] of special)
    it(`refuses ${address}`, () => {
      const invalid = `Invalid value: "${address}": ${sentence}`;
      assert.deepEqual(serviceErrorsOf({ externalIPs: ["198.51.100.7", address] }), [
        `spec.externalIPs[1]: ${invalid}`,
      ]);
      const slice = { addressType: "IPv4", endpoints: [{ addresses: [address] }] };
      assert.deepEqual(errorsOf(endpointSlices, slice), [`endpoints[0].addresses[0]: ${invalid}`]);
      const subset = { addresses: [{ ip: address }], notReadyAddresses: [{ ip: address }] };
      assert.deepEqual(errorsOf(endpoints, { subsets: [subset] }), [
        `subsets[0].addresses[0].ip: ${invalid}`,
        `subsets[0].notReadyAddresses[0].ip: ${invalid}`,
      ]);
    });

  it("takes all others", () => {
    assert.deepEqual(serviceErrorsOf({ externalIPs: usual }), []);
    assert.deepEqual(errorsOf(endpointSlices, { addressType: "IPv4", endpoints: [{ addresses: usual }] }), []);
    assert.deepEqual(errorsOf(endpoints, { subsets: [{ addresses: usual.map((ip) => ({ ip })) }] }), []);
  });
});

describe("load balancers", () => {
  const type = "LoadBalancer";
  it("takes source ranges of a load balancer, with spaces around", () => {
    const ranges = ["203.0.113.0/24", " 10.0.0.0/8 ", "2001:db8::/64"];
    assert.deepEqual(serviceErrorsOf({ type, loadBalancerSourceRanges: ranges }), []);
  });

  it("refuses source ranges that are none, and those of another type", () => {
    const sentence = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    for (const text of ["203.0.113.0", "203.0.113.0/33", "2001:db8::/129", "x/8", "203.0.113.0/24/1"])
      assert.deepEqual(serviceErrorsOf({ type, loadBalancerSourceRanges: [text] }), [
        `spec.LoadBalancerSourceRanges[0]: Invalid value: "${text}": ${sentence}`,
      ]);
    assert.deepEqual(serviceErrorsOf({ type: "NodePort", loadBalancerSourceRanges: ["10.0.0.0/8"] }), [
      "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ]);
  });

  it("refuses a status that names no address and no host", () => {
    const status = (ingress: object): string[] =>
      serviceErrorsOf({ type }, { status: { loadBalancer: { ingress: [ingress] } } });
    const path = "status.loadBalancer.ingress[0]";
    // What listens on the host is told so: 127.0.0.1 is no special address here.
    for (const good of [{ ip: "127.0.0.1", ipMode: "Proxy" }, { ip: "2001:db8::1" }, { hostname: "lb.example.org" }])
      assert.deepEqual(status(good), []);
    assert.deepEqual(status({ ip: "here" }), [`${path}.ip: Invalid value: "here": must be a valid IP address`]);
    assert.deepEqual(status({ hostname: "192.0.2.1" }), [
      `${path}.hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address`,
    ]);
    assert.match(status({ hostname: "Not_Good" }).join(), /hostname: Invalid value: "Not_Good": a lowercase RFC 1123/);
  });
});

describe("serviceWarnings()", () => {
  const warningsOf = (service: object): readonly string[] =>
    serviceWarnings({ apiVersion: "v1", kind: "Service", metadata: { name: "a" }, ...service });

  it("tells that the host's ports do not know source ranges", () => {
    const ranges = ["203.0.113.0/24"];
    const [warning = "", ...more] = warningsOf({ spec: { type: "LoadBalancer", loadBalancerSourceRanges: ranges } });
    assert.match(warning, /^spec\.loadBalancerSourceRanges: not honoured at the ports .* on 127\.0\.0\.1 of the host/);
    assert.deepEqual(more, []);
    assert.deepEqual(warningsOf({ spec: { type: "LoadBalancer" } }), []);
    assert.deepEqual(warningsOf({}), []);
  });

  it("tells of an annotation that is neither true nor false", () => {
    const annotated = (value: string): readonly string[] =>
      warningsOf({ metadata: { name: "a", annotations: { "proxy.wherry.dev/l7": value } } });
    assert.deepEqual(annotated("maybe"), [
      'metadata.annotations[proxy.wherry.dev/l7]: "maybe" has no effect, wanted "true" or "false"',
    ]);
    assert.deepEqual([...annotated("true"), ...annotated("false")], []);
  });
});
