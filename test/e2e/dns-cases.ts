/**
 * Objects and DNS cases: what a cluster is given, and what every transport of every resolver of it must say.
 *
 * Source: Kubernetes DNS specification 1.1.0; CoreDNS where it is silent. `SOA` stands for the zone's SOA in
 * authority.
 */

const service = (name: string, spec: string): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: testns}\nspec: ${spec}\n`;

const slice = (name: string, of: string, given: { type?: string; endpoints: string; ports?: string }): string =>
  `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ${name}, namespace: testns, labels: {kubernetes.io/service-name: ${of}}}\n` +
  `addressType: ${given.type ?? "IPv4"}\nports: ${given.ports ?? "[{name: http, port: 80, protocol: TCP}]"}\nendpoints: ${given.endpoints}\n`;

/** YAML of the objects. */
export const manifest: string = [
  "apiVersion: v1\nkind: Namespace\nmetadata: {name: testns}\n",
  "apiVersion: v1\nkind: Namespace\nmetadata: {name: emptyns}\n",
  "apiVersion: v1\nkind: Pod\nmetadata: {name: asker}\nspec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: wherry.dev/pause}]}\n",
  service("svc1", "{clusterIP: 10.96.7.1, ports: [{name: http, port: 80}]}"),
  slice("svc1-a", "svc1", { endpoints: "[{addresses: [172.20.0.1], hostname: ep1a}]" }),
  service("svcnp", "{clusterIP: 10.96.7.7, ports: [{port: 81}]}"),
  service("outside", "{clusterIP: 10.96.7.20, externalIPs: [198.51.100.7], ports: [{name: http, port: 80}]}"),
  service("svcempty", "{clusterIP: 10.96.7.8, ports: [{name: http, port: 80}]}"),
  service(
    "multi",
    "{clusterIP: 10.96.7.9, ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}",
  ),
  service("hdls", "{clusterIP: None, ports: [{name: http, port: 80}]}"),
  slice("hdls-a", "hdls", {
    endpoints:
      "[{addresses: [172.20.0.2]}, {addresses: [172.20.0.3]}, {addresses: [172.20.0.4], hostname: dup-name}, {addresses: [172.20.0.5], hostname: dup-name}, {addresses: [172.20.0.9], conditions: {ready: false}}]",
  }),
  slice("hdls-b", "hdls", { endpoints: "[{addresses: [172.20.0.2]}]" }),
  slice("hdls-c", "hdls", {
    type: "IPv6",
    endpoints: "[{addresses: ['5678:abcd::1']}, {addresses: ['5678:abcd::2']}]",
  }),
  service("hdnone", "{clusterIP: None, ports: [{name: http, port: 80}]}"),
  service("hdnr", "{clusterIP: None, publishNotReadyAddresses: true, ports: [{name: http, port: 80}]}"),
  slice("hdnr-a", "hdnr", { endpoints: "[{addresses: [172.20.0.30], conditions: {ready: true, serving: false}}]" }),
  service("hdnoport", "{clusterIP: None}"),
  slice("hdnoport-a", "hdnoport", { endpoints: "[{addresses: [172.20.0.20]}]", ports: "[]" }),
  service("ext", "{type: ExternalName, externalName: www.outside.test}"),
  service("ext2svc", "{type: ExternalName, externalName: svc1.testns.svc.cluster.local}"),
  service("loop1", "{type: ExternalName, externalName: loop2.testns.svc.cluster.local}"),
  service("loop2", "{type: ExternalName, externalName: loop1.testns.svc.cluster.local}"),
  service("big", "{clusterIP: None, ports: [{name: http, port: 80}]}"),
  slice("big-a", "big", {
    endpoints: `[${Array.from({ length: 60 }, (_, index) => `{addresses: [172.21.0.${index + 1}]}`).join(", ")}]`,
  }),
].join("---\n");

/** `name TYPE` → rcode, then data of the answer sorted; or SOA. */
export type Case = readonly [query: string, rcode: string, ...answers: readonly string[]];

const sv = "testns.svc.cluster.local";
const hdlsTargets = ["172-20-0-2", "172-20-0-3", "5678-abcd--1", "5678-abcd--2", "dup-name"];

/** What those with `k8s_external ext.test` must say, too. */
export const externalCases: readonly Case[] = [
  ["outside.testns.ext.test A", "NOERROR", "198.51.100.7"],
  ["OUTSIDE.testns.ext.test A", "NOERROR", "198.51.100.7"],
  ["outside.testns.ext.test AAAA", "NOERROR", "SOA"],
  ["outside.testns.ext.test SRV", "NOERROR", "0 100 80 outside.testns.ext.test."],
  ["_http._tcp.outside.testns.ext.test SRV", "NOERROR", "0 100 80 outside.testns.ext.test."],
  ["_http._tcp.outside.testns.ext.test A", "NOERROR", "198.51.100.7"],
  ["_dns._tcp.outside.testns.ext.test SRV", "NXDOMAIN", "SOA"],
  ["a.b.c.outside.testns.ext.test A", "NXDOMAIN", "SOA"],
  ["svc1.testns.ext.test A", "NXDOMAIN", "SOA"],
  ["nope.testns.ext.test A", "NXDOMAIN", "SOA"],
  ["testns.ext.test A", "NOERROR", "SOA"],
  ["ext.test A", "NOERROR", "SOA"],
  ["ext.test NS", "NOERROR", "ns1.dns.ext.test."],
  ["dns.ext.test A", "NOERROR", "SOA"],
  ["other.dns.ext.test A", "NXDOMAIN", "SOA"],
];

/** Queries of which CoreDNS says something else, and why ours is kept. */
export const unlikeCoreDNS: Readonly<Record<string, string>> = {
  [`_http._tcp.hdls.${sv} SRV`]: "an endpoint that two slices have counts once in the weights",
  "ns.dns.cluster.local A": "CoreDNS looks for its own Service among the endpoints of its address, and is outside here",
};

/** What they all must say. */
export const cases: readonly Case[] = [
  [`svc1.${sv} A`, "NOERROR", "10.96.7.1"],
  [`SvC1.${sv} A`, "NOERROR", "10.96.7.1"],
  [`svc1.${sv} AAAA`, "NOERROR", "SOA"],
  [`svcempty.${sv} A`, "NOERROR", "10.96.7.8"],
  [`svc0.${sv} AAAA`, "NXDOMAIN", "SOA"],
  ["not-a-svc.testns.svc.ClUsTeR.lOcAl A", "NXDOMAIN", "SOA"],
  [`foo.svc1.${sv} A`, "NXDOMAIN", "SOA"],
  [`ep1a.svc1.${sv} A`, "NOERROR", "172.20.0.1"],
  [`*.${sv} A`, "NXDOMAIN", "SOA"],
  ["any.any.svc.cluster.local A", "NXDOMAIN", "SOA"],
  [`_http._tcp.svc1.${sv} SRV`, "NOERROR", `0 100 80 svc1.${sv}.`],
  [`http.tcp.svc1.${sv} SRV`, "NOERROR", `0 100 80 svc1.${sv}.`],
  [`svc1.${sv} SRV`, "NOERROR", `0 100 80 svc1.${sv}.`],
  [`_dns._udp.multi.${sv} SRV`, "NOERROR", `0 100 53 multi.${sv}.`],
  [`_https._tcp.svc1.${sv} SRV`, "NXDOMAIN", "SOA"],
  [`_http._udp.svc1.${sv} SRV`, "NXDOMAIN", "SOA"],
  [`_x._tcp.svcnp.${sv} SRV`, "NXDOMAIN", "SOA"],
  [`_http._tcp.hdls.${sv} SRV`, "NOERROR", ...hdlsTargets.map((name) => `0 16 80 ${name}.hdls.${sv}.`)],
  [`_http._tcp.ext.${sv} SRV`, "NXDOMAIN", "SOA"],
  [`hdls.${sv} A`, "NOERROR", "172.20.0.2", "172.20.0.3", "172.20.0.4", "172.20.0.5"],
  [`hdls.${sv} AAAA`, "NOERROR", "5678:abcd::1", "5678:abcd::2"],
  [`172-20-0-2.hdls.${sv} A`, "NOERROR", "172.20.0.2"],
  [`172-20-0-2.hdls.${sv} AAAA`, "NOERROR", "SOA"],
  [`172-20-0-9.hdls.${sv} A`, "NXDOMAIN", "SOA"],
  [`dup-name.hdls.${sv} A`, "NOERROR", "172.20.0.4", "172.20.0.5"],
  [`hdnone.${sv} A`, "NXDOMAIN", "SOA"],
  [`hdnone.${sv} AAAA`, "NXDOMAIN", "SOA"],
  [`hdnr.${sv} A`, "NOERROR", "172.20.0.30"],
  [`hdnoport.${sv} A`, "NOERROR", "172.20.0.20"],
  [`172-20-0-20.hdnoport.${sv} A`, "NOERROR", "172.20.0.20"],
  [`ext.${sv} A`, "NOERROR", "192.0.2.1", "www.outside.test."],
  [`ext.${sv} CNAME`, "NOERROR", "www.outside.test."],
  [`ext2svc.${sv} A`, "NOERROR", "10.96.7.1", `svc1.${sv}.`],
  ["1.7.96.10.in-addr.arpa PTR", "NOERROR", `svc1.${sv}.`],
  [`svc1.${sv} PTR`, "NOERROR", "SOA"],
  ["10-240-0-1.testns.pod.cluster.local A", "NOERROR", "10.240.0.1"],
  ["10-240-0-1.testns.pod.cluster.local AAAA", "NOERROR", "SOA"],
  ["10-240-0-1.nsnone.pod.cluster.local A", "NXDOMAIN", "SOA"],
  ["cluster.local A", "NOERROR", "SOA"],
  ["svc.cluster.local A", "NOERROR", "SOA"],
  [`${sv} A`, "NOERROR", "SOA"],
  ["nsnone.svc.cluster.local A", "NXDOMAIN", "SOA"],
  ["nsnone.pod.cluster.local A", "NXDOMAIN", "SOA"],
  ["emptyns.svc.cluster.local A", "NOERROR", "SOA"],
  ["emptyns.pod.cluster.local A", "NOERROR", "SOA"],
  ["svc1.emptyns.svc.cluster.local A", "NXDOMAIN", "SOA"],
  ["10-240-0-1.emptyns.pod.cluster.local A", "NOERROR", "10.240.0.1"],
  ["foo.cluster.local A", "NXDOMAIN", "SOA"],
  ["dns-version.cluster.local TXT", "NOERROR", '"1.1.0"'],
  ["ns.dns.cluster.local A", "NOERROR", "10.96.0.10"],
  ...["TXT", "MX", "HINFO", "HTTPS"].map((type): Case => [`svc1.${sv} ${type}`, "NOERROR", "SOA"]),
  [`big.${sv} A`, "NOERROR", ...Array.from({ length: 60 }, (_, index) => `172.21.0.${index + 1}`).sort()],
  ["www.outside.test A", "NOERROR", "192.0.2.1"],
  ["nope.test A", "NXDOMAIN", "SOA"],
];
