/**
 * The fields of kube-proxy's configuration file and the flags that stand for them: one table.
 *
 *   flags.ts, cli ─ flags ─┐
 *   file (YAML) ───────────┴▶ configuration.ts
 *
 * Source: kubernetes staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go, cmd/kube-proxy/app/options.go.
 */

export type FieldKind = "text" | "list" | "bool" | "int" | "duration";

export interface Field {
  /** `nftables.masqueradeBit` */
  readonly path: string;
  readonly kind: FieldKind;
  /** Without dashes; absent where kube-proxy has none. */
  readonly flag?: string;
  readonly help?: string;
  /**
   * Of a field without effect here. `tuning`: it tunes what Wherry does otherwise, and any value is taken. `refused`: it
   * would change where packets go, and only what means "not set" is taken.
   */
  readonly unused?: "tuning" | "refused";
}

const field = (path: string, kind: FieldKind, flag?: string, help?: string): Field => ({
  path,
  kind,
  ...(flag === undefined ? {} : { flag }),
  ...(help === undefined ? {} : { help }),
});
const unused = (why: "tuning" | "refused", paths: readonly string[]): readonly Field[] =>
  paths.map((path) => ({ path, kind: "text", unused: why }));

/** Every field there is, objects below a path of `tuning` included. */
export const fields: readonly Field[] = [
  field("mode", "text", "proxy-mode", "nftables or userspace; default: nftables, and userspace where it is missing"),
  field("clusterCIDR", "text", "cluster-cidr", "addresses of pods, one or two ranges, separated by a comma"),
  field(
    "nodePortAddresses",
    "list",
    "nodeport-addresses",
    "where node ports are answered: ranges, primary, localhost, all",
  ),
  field("hostnameOverride", "text", "hostname-override", "the Node's name; default: the host's"),
  field("bindAddress", "text", "bind-address", "the node's address; default: what its Node object says"),
  field("healthzBindAddress", "text", "healthz-bind-address", "default 0.0.0.0:10256"),
  field("metricsBindAddress", "text", "metrics-bind-address", "default 127.0.0.1:10249"),
  field("bindAddressHardFail", "bool", "bind-address-hard-fail", "end when one of these cannot be listened on"),
  field("detectLocalMode", "text", "detect-local-mode", "what tells pods from others: ClusterCIDR or NodeCIDR"),
  field("clientConnection.kubeconfig", "text", "kubeconfig", "how to reach the API; default: the pod's own account"),
  field("nftables.masqueradeAll", "bool", "masquerade-all", "masquerade whatever comes to a clusterIP"),
  field("nftables.masqueradeBit", "int", "iptables-masquerade-bit", "the bit of the packet mark, 0 to 31; default 14"),
  field("nftables.minSyncPeriod", "duration", "iptables-min-sync-period", "between two changes; default: none"),
  field("nftables.syncPeriod", "duration", "iptables-sync-period", "between looks whether the table is there"),
  field("iptables.masqueradeAll", "bool"),
  field("iptables.masqueradeBit", "int"),
  field("iptables.minSyncPeriod", "duration"),
  field("iptables.syncPeriod", "duration"),
  field("conntrack.maxPerCore", "int", "conntrack-max-per-core", "flows to track a core; 0 leaves the limit alone"),
  field("conntrack.min", "int", "conntrack-min", "flows to track at least"),
  field("conntrack.tcpEstablishedTimeout", "duration", "conntrack-tcp-timeout-established", "0 leaves it alone"),
  field("conntrack.tcpCloseWaitTimeout", "duration", "conntrack-tcp-timeout-close-wait", "0 leaves it alone"),
  field("conntrack.tcpBeLiberal", "bool", "conntrack-tcp-be-liberal", "track packets outside of windows, too"),
  field("conntrack.udpTimeout", "duration", "conntrack-udp-timeout", "0 leaves it alone"),
  field("conntrack.udpStreamTimeout", "duration", "conntrack-udp-timeout-stream", "0 leaves it alone"),
  ...unused("tuning", [
    "clientConnection.acceptContentTypes",
    "clientConnection.contentType",
    "clientConnection.qps",
    "clientConnection.burst",
    "configSyncPeriod",
    "logging",
    "oomScoreAdj",
    "enableProfiling",
    "showHiddenMetricsForVersion",
    "ipvs",
    "winkernel",
    "portRange",
    "udpIdleTimeout",
    "resourceContainer",
    // As in kube-proxy's nftables mode, nodePortAddresses says whether node ports are on loopback.
    "iptables.localhostNodePorts",
  ]),
  ...unused("refused", [
    "detectLocal.bridgeInterface",
    "detectLocal.interfaceNamePrefix",
    "featureGates",
    "windowsRunAsService",
  ]),
];

/** The field of a path, or the one above it that takes whatever is below. */
export function fieldOf(path: string): Field | undefined {
  return fields.find(
    (known) => known.path === path || (known.unused !== undefined && path.startsWith(`${known.path}.`)),
  );
}

/** Whether there are fields below `path`. */
export function isSection(path: string): boolean {
  return fields.some((known) => known.path.startsWith(`${path}.`));
}
