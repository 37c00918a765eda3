import assert from "node:assert/strict";
import test from "node:test";
import { type ProxyConfiguration, parseConfiguration } from "./configuration.ts";
import { fields } from "./fields.ts";

const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
const read = (rest: string, flags: Readonly<Record<string, string>> = {}): ProxyConfiguration =>
  parseConfiguration(head + rest, flags);

/** What kubeadm writes, less its comments. */
const kubeadm = `
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  { acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0 }
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  { maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s }
detectLocal: { bridgeInterface: "", interfaceNamePrefix: "" }
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: { localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s }
ipvs: { excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s }
logging: { flushFrequency: 0, options: { json: { infoBufferSize: "0" } }, verbosity: 0 }
metricsBindAddress: ""
mode: ""
nftables: { masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s }
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: { enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: "" }
`;

test("parseConfiguration() reads kubeadm's file", () => {
  const config = read(kubeadm);
  assert.deepEqual(config.clusterCIDRs, ["10.244.0.0/16"]);
  assert.equal(config.kubeconfig, "/var/lib/kube-proxy/kubeconfig.conf");
  assert.deepEqual(config.healthz, { host: "0.0.0.0", port: 10_256 });
  assert.deepEqual(config.nodePortAddresses, ["primary"]);
  assert.equal(config.masqueradeBit, 14);
  assert.equal(config.conntrack.tcpEstablishedTimeoutMs, 86_400_000);
});

test("parseConfiguration() prefers flags to the file, and nftables to iptables", () => {
  const config = read(
    "clusterCIDR: 10.1.0.0/16\niptables: { syncPeriod: 5s, masqueradeBit: 3 }\nnftables: { masqueradeBit: 4 }",
    {
      "cluster-cidr": "10.2.0.0/16,fd00::/64",
      "masquerade-all": "true",
      "healthz-bind-address": "[::1]:0",
    },
  );
  assert.deepEqual(config.clusterCIDRs, ["10.2.0.0/16", "fd00::/64"]);
  assert.deepEqual([config.syncPeriodMs, config.masqueradeBit, config.masqueradeAll], [5000, 4, true]);
  assert.deepEqual(config.healthz, { host: "::1", port: 0 });
});

for (const [rest, problem] of [
  ["modes: x", /unknown field modes$/],
  ["nftables: { bit: 3 }", /unknown field nftables.bit/],
  ["nftables: 3", /nftables: wanted an object/],
  ["mode: ipvs", /mode: observed "ipvs", wanted nftables or userspace/],
  ["clusterCIDR: 10.1.0.0/99", /clusterCIDR: observed "10.1.0.0\/99", wanted a range/],
  [
    "detectLocal: { bridgeInterface: br0 }\ndetectLocalMode: BridgeInterface",
    /bridgeInterface is not supported.*; detectLocalMode: observed/,
  ],
  ["nftables: { masqueradeBit: 32 }", /wanted 0 to 31/],
  ["conntrack: { udpTimeout: soon }", /conntrack.udpTimeout: observed "soon", wanted a duration/],
  ["healthzBindAddress: here", /healthzBindAddress: observed "here", wanted ADDRESS:PORT/],
  ["nodePortAddresses: [foo]", /nodePortAddresses: observed "foo", wanted a range like .*primary, localhost, all$/],
  ["bindAddress: 300.1.1.1", /bindAddress: observed "300\.1\.1\.1", wanted an IP address$/],
  ["healthzBindAddress: 300.1.1.1:0", /healthzBindAddress: observed .* wanted ADDRESS:PORT$/],
  [`bindAddress: 10.0.0.1\n---\n${head}`, /: it has 2 YAML documents, wanted one$/],
  ["nodePortAddresses: 3", /nodePortAddresses: observed 3, wanted a list of text/],
  ["featureGates: { Alpha: true }", /featureGates is not supported/],
] as const)
  test(`parseConfiguration() refuses ${JSON.stringify(rest)}`, () => {
    assert.throws(() => read(rest), { code: "InvalidConfig", message: problem });
  });

for (const [flag, value, problem] of [
  ["proxy-mode", "ipvs", /^Cannot use the command line: --proxy-mode: observed "ipvs", wanted nftables or userspace/],
  ["nodeport-addresses", "10.0.0.0/8,foo", /: --nodeport-addresses: observed "foo", wanted a range/],
  ["bind-address", "foo", /: --bind-address: observed "foo", wanted an IP address$/],
  ["bind-address", "300.1.1.1", /: --bind-address: observed "300\.1\.1\.1", wanted an IP address$/],
  ["conntrack-min", "-1", /: --conntrack-min: observed "-1", wanted a number >= 0$/],
] as const)
  test(`parseConfiguration() refuses --${flag} ${value} by the flag's name`, () => {
    assert.throws(() => parseConfiguration(undefined, { [flag]: value }), { code: "InvalidConfig", message: problem });
  });

test("parseConfiguration() refuses what is no KubeProxyConfiguration", () => {
  for (const text of ["", "[", "kind: Pod", "- 1"])
    assert.throws(() => parseConfiguration(text, {}), { code: "InvalidConfig" });
});

test("parseConfiguration() knows a value for each flag of the table", () => {
  const values = { text: "", list: "primary", bool: "true", int: "1", duration: "1s" } as const;
  for (const { flag, kind } of fields) if (flag !== undefined) parseConfiguration(undefined, { [flag]: values[kind] });
});
