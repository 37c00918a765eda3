/**
 * What `wherry check` can find wrong: one row a code, with how bad it is, what it means and what helps. Pure.
 *
 *   diagnose.ts, system.ts ─ find(code, about, detail) ─▶ Finding ─▶ check.ts (text, JSON), bug-report.ts
 *
 * `NAME` and `NS` in a hint stand for what the finding is about.
 */
import type { MessageTable } from "#lib/messages.ts";

export type FindingCode =
  // The system.
  | "ProgramMissing"
  | "NamespacesRefused"
  | "KernelWithoutNftables"
  | "StateFolderUnusable"
  | "DiskFull"
  | "ResolvConfUnusable"
  // The cluster's processes.
  | "LauncherGone"
  | "ProcessDown"
  | "ProcessRestarts"
  | "APIUnreachable"
  | "APINotReady"
  | "StoreRefusesWrites"
  | "ClockSet"
  | "CertificateExpired"
  | "CertificateNotYetValid"
  | "CertificateExpiresSoon"
  // Nodes.
  | "NodeNotReady"
  | "RulesMissing"
  | "RulesUnreadable"
  | "ServiceNetworkBroken"
  | "DNSBroken"
  | "UpstreamBroken"
  // Configuration on its way.
  | "PushRejected"
  | "PushBehind"
  | "ClientMissing"
  | "Untranslatable"
  | "SidecarNotReady"
  // Objects.
  | "PodUnschedulable"
  | "PodPending"
  | "PodFailed"
  | "ImageUnknown"
  | "ReferenceMissing"
  | "CommandBroken"
  | "ContainerWaits"
  | "CrashLoop"
  | "OutOfMemory"
  | "WasOutOfMemory"
  | "NotReady"
  | "DeletionHangs"
  | "ReplicasMissing"
  | "JobFailed"
  | "SelectorMatchesNothing"
  | "TargetPortMissing"
  | "NoReadyEndpoint"
  | "GatewayRefused"
  | "ListenerRefused"
  | "RouteRefused"
  | "BackendMissing"
  | "IngressUnserved"
  | "DNSDeniedByPolicy"
  | "PublishedTargetMissing"
  | "HostPortTaken";

/** `error`: something does not work. `warning`: it may be meant, or will not work later. */
export type Severity = "error" | "warning";

export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  /** `pod default/web`, `node node1`, `program nft`; empty: the cluster. */
  readonly about: string;
  /** One sentence: what it is about, what was observed. */
  readonly sentence: string;
  /** The command that helps. */
  readonly hint: string;
}

/** Those that may be meant, or that only announce something. The rest are errors. */
const warnings: ReadonlySet<FindingCode> = new Set<FindingCode>([
  "ResolvConfUnusable",
  "ProcessRestarts",
  "ClockSet",
  "CertificateExpiresSoon",
  "UpstreamBroken",
  "PushBehind",
  "SelectorMatchesNothing",
  "DNSDeniedByPolicy",
  "PodPending",
  "WasOutOfMemory",
]);

export const findingMessages: MessageTable<FindingCode> = {
  ProgramMissing: {
    sentence: "A program that a cluster runs on is not installed",
    hint: "run: apt-get install -y NAME",
  },
  NamespacesRefused: {
    sentence: "This user may not make user, network, mount and pid namespaces",
    hint: "run: sudo sysctl user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1",
  },
  KernelWithoutNftables: { sentence: "The kernel has no nftables", hint: "run as root: modprobe nf_tables" },
  StateFolderUnusable: {
    sentence: "The folder of the clusters' state cannot be written by this user",
    hint: "run: export XDG_STATE_HOME=FOLDER, with a folder of your own",
  },
  DiskFull: {
    sentence: "The disk with the clusters' state is full, so nothing can be stored",
    hint: "make room, then nothing more is needed: df -h NAME",
  },
  ResolvConfUnusable: {
    sentence: "The system names no resolver, so names outside the cluster do not resolve",
    hint: "run: wherry up --dns-upstream ADDR",
  },
  LauncherGone: {
    sentence: "The cluster ended without being stopped; its state is kept",
    hint: "run: wherry up",
  },
  ProcessDown: {
    sentence: "A process of the cluster does not run; it is started again and again",
    hint: "see its log: wherry bug-report",
  },
  ProcessRestarts: {
    sentence: "A process of the cluster ended and was started again",
    hint: "see its log: wherry bug-report",
  },
  APIUnreachable: {
    sentence: "The API server does not answer",
    hint: "wait some seconds, then: wherry down; wherry up",
  },
  APINotReady: {
    sentence: "The API server runs, but does not know the state yet",
    hint: "wait some seconds, then: wherry check",
  },
  StoreRefusesWrites: {
    sentence: "The API server reads but cannot write: its store refuses",
    hint: "make room in the state folder: df -h",
  },
  ClockSet: {
    sentence: "The system's clock was set while the cluster ran: ages, schedules and certificates count by it",
    hint: "let it be set before the start, by NTP as a rule, then: wherry down; wherry up",
  },
  CertificateExpired: {
    sentence: "A certificate of the cluster has expired",
    hint: "run: wherry down; wherry up (an expired ca: wherry down --purge)",
  },
  CertificateNotYetValid: {
    sentence: "A certificate of the cluster is valid only later: the clock was set back",
    hint: "set the clock, or: wherry down --purge; wherry up",
  },
  CertificateExpiresSoon: {
    sentence: "A certificate of the cluster expires within 14 days",
    hint: "renew it: wherry down; wherry up",
  },
  NodeNotReady: {
    sentence: "A node does not report, so nothing is started on it",
    hint: "see why: wherry get node NAME -o yaml",
  },
  RulesMissing: {
    sentence: "A node has no rules of the node proxy, so Services are not reached from it",
    hint: "wait 30 s for the check of the node proxy, then: wherry down; wherry up",
  },
  RulesUnreadable: {
    sentence: "nft cannot be run in a node, so changes of Services are not programmed",
    hint: "run as root: apt-get install -y nftables",
  },
  ServiceNetworkBroken: {
    sentence: "The API is not reached over its Service from a node",
    hint: "see the node agent's log: wherry bug-report",
  },
  DNSBroken: {
    sentence: "A node's DNS does not answer for a name that exists",
    hint: "see the node agent's log: wherry bug-report",
  },
  UpstreamBroken: {
    sentence: "Names outside the cluster do not resolve: the upstream resolver does not answer",
    hint: "run: wherry down; wherry up --dns-upstream ADDR",
  },
  PushRejected: {
    sentence: "A proxy rejected its configuration and keeps the one before",
    hint: "correct the object that the message names, then: wherry status",
  },
  PushBehind: {
    sentence: "A proxy has not acknowledged the newest configuration",
    hint: "look again: wherry status",
  },
  ClientMissing: {
    sentence: "A proxy that should take its configuration is not connected; it keeps what it has",
    hint: "see the log of its node: wherry bug-report",
  },
  Untranslatable: {
    sentence: "An object cannot be translated for the proxies; what was before it stays in force",
    hint: "correct the field that the message names: wherry apply -f FILE",
  },
  SidecarNotReady: {
    sentence: "A pod's sidecar does not answer, or has no whole configuration",
    hint: "delete the pod, so that it is made anew: wherry delete pod NAME -n NS",
  },
  PodUnschedulable: { sentence: "No node fits a pod", hint: "see what it wants: wherry get pod NAME -n NS -o yaml" },
  PodPending: { sentence: "A pod is being started", hint: "look again: wherry get pod NAME -n NS" },
  PodFailed: { sentence: "A pod has failed", hint: "see why: wherry logs NAME -n NS" },
  ImageUnknown: {
    sentence: "No entry of the image map stands for a container's image",
    hint: "add the image to an image map: wherry down; wherry up --images FILE",
  },
  ReferenceMissing: {
    sentence: "A container refers to a ConfigMap, Secret or key that does not exist",
    hint: "create it: wherry apply -n NS -f FILE",
  },
  CommandBroken: {
    sentence: "A container's command cannot be started",
    hint: "correct command and args: wherry get pod NAME -n NS -o yaml",
  },
  ContainerWaits: { sentence: "A container waits", hint: "see why: wherry get pod NAME -n NS -o yaml" },
  CrashLoop: { sentence: "A container ends again and again", hint: "see its last words: wherry logs NAME -n NS" },
  OutOfMemory: {
    sentence: "A container was killed because it took more memory than its limit",
    hint: "raise resources.limits.memory: wherry apply -f FILE",
  },
  WasOutOfMemory: {
    sentence: "A container took more memory than its limit, was killed and started again",
    hint: "raise resources.limits.memory: wherry apply -f FILE",
  },
  NotReady: {
    sentence: "A container runs but its readiness probe does not succeed",
    hint: "see the probe and what it gets: wherry get events -n NS",
  },
  DeletionHangs: {
    sentence: "An object is being deleted for longer than its grace period",
    hint: "see its finalizers: wherry get pod NAME -n NS -o yaml",
  },
  ReplicasMissing: {
    sentence: "A workload has fewer available replicas than wanted",
    hint: "see its pods: wherry get pods -n NS",
  },
  JobFailed: { sentence: "A job has failed", hint: "see its pods: wherry get pods -n NS" },
  SelectorMatchesNothing: {
    sentence: "A Service selects no pod",
    hint: "compare spec.selector with the pods' labels: wherry get svc NAME -n NS -o wide",
  },
  TargetPortMissing: {
    sentence: "A Service leads to a port that its pods do not name",
    hint: "correct spec.ports[].targetPort: wherry get svc NAME -n NS -o yaml",
  },
  NoReadyEndpoint: {
    sentence: "A Service has pods but none that is ready, so connections to it are refused",
    hint: "see its pods: wherry get pods -n NS",
  },
  GatewayRefused: {
    sentence: "A Gateway is not accepted or not programmed",
    hint: "see its conditions: wherry get gateway NAME -n NS -o yaml",
  },
  ListenerRefused: {
    sentence: "A listener of a Gateway is not served",
    hint: "see its conditions: wherry get gateway NAME -n NS -o yaml",
  },
  RouteRefused: {
    sentence: "A route is not accepted by its parent",
    hint: "see its conditions: wherry get httproute NAME -n NS -o yaml",
  },
  BackendMissing: {
    sentence: "A route leads to a backend that does not exist; requests for it are answered 500",
    hint: "create the Service, or correct backendRefs: wherry get httproute NAME -n NS -o yaml",
  },
  IngressUnserved: {
    sentence: "An Ingress is served by nobody",
    hint: "set spec.ingressClassName to a class that exists: wherry get ingressclasses",
  },
  DNSDeniedByPolicy: {
    sentence: "A NetworkPolicy isolates the egress of pods and allows them no DNS, so names do not resolve there",
    hint: "allow it, by an egress rule with ports 53 of UDP and TCP: wherry apply -n NS -f FILE",
  },
  PublishedTargetMissing: {
    sentence: "A published port leads to something that does not exist",
    hint: "create it, or publish another target: wherry down; wherry up -p PORT=TARGET",
  },
  HostPortTaken: {
    sentence: "A port of a Service cannot be published on the host",
    hint: "stop the program that has the port, or take another: wherry get svc NAME -n NS -o yaml",
  },
};

/** What a hint's placeholders stand for. */
export interface Subject {
  /** `pod`, `node`, `Service`; empty when the name says it all. */
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** A finding. `detail` is what was observed; `hint` replaces the table's where more is known. */
export function find(code: FindingCode, subject: Subject, detail: string, hint?: string): Finding {
  const { kind, name, namespace } = subject;
  const about = `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`.trim();
  const row = findingMessages[code];
  const [observed, ownHint] = splitHint(detail);
  const filled = (hint ?? ownHint ?? row.hint).replace(/\bNAME\b/g, name).replace(/\bNS\b/g, namespace ?? "default");
  const severity = warnings.has(code) ? "warning" : "error";
  const sentence = `${about === "" ? "" : `${about}: `}${row.sentence}${observed === "" ? "" : `: ${observed}`}`;
  return { code, severity, about, sentence: sentence.trim(), hint: filled };
}

/** Messages end in their hint, in parentheses: it knows more than the table's. One or two words are no hint. */
function splitHint(detail: string): readonly [observed: string, hint: string | undefined] {
  const [, observed = "", hint = ""] = /^(.*) \(([^()]+)\)$/s.exec(detail) ?? [];
  return hint.split(" ").length > 2 ? [observed, hint] : [detail, undefined];
}

/** The finding with hints that name the cluster, where it is not the default one. */
export function forCluster(finding: Finding, cluster: string): Finding {
  if (cluster === "default") return finding;
  return { ...finding, hint: finding.hint.replace(/\bwherry ([a-z][a-z-]*)/g, `wherry $1 --name ${cluster}`) };
}

/** `1 pod`, `2 pods`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** One line for people: what it is about, what it means, what helps. */
export function formatFinding({ code, severity, sentence, hint }: Finding): string {
  return `  ${severity === "error" ? "×" : "!"} ${sentence} (${hint}) [${code}]\n`;
}
