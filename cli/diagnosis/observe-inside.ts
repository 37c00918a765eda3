/**
 * What nodes and sidecars look like from inside the cluster.
 *
 *   LauncherRecord, pods ─▶ questions to each node ─▶ inside.ts ─▶ NodeProbe[], SidecarProbe[]
 */
import type { Pod } from "#api/core/pod.ts";
import { netnsPath, sidecarPorts } from "../../kubelet/pod-network.ts";
import { tableNames } from "../../proxy/l4/nft/names.ts";
import { addresses } from "../ipc.ts";
import type { LauncherRecord } from "../launcher/state-dir.ts";
import { hasSidecar } from "./diagnose.ts";
import { type Answer, type Question, lookInside } from "./inside.ts";
import type { NodeProbe, SidecarProbe } from "./observation.ts";

/** Sidecars that are asked on each node, at most; beyond, what they say over ADS has to do. */
const sidecarsMax = 200;
/** Longest wait for one answer, in ms. */
const answerMs = 2000;

/** A name that exists in every cluster, and one that exists outside of all. */
const insideName = "kubernetes.default.svc.cluster.local";
const outsideName = "a.root-servers.net";

const nodeQuestions: readonly Question[] = [
  { kind: "tables" },
  { kind: "tcp", address: addresses.kubernetesService, port: 443 },
  { kind: "dns", server: addresses.dns, name: insideName },
  { kind: "dns", server: addresses.dns, name: outsideName },
];

export interface Inside {
  readonly probes: readonly NodeProbe[];
  readonly sidecars: readonly SidecarProbe[];
}

/** Asks every node and its sidecars. Without `isThorough` only the sidecars. */
export async function observeInside(
  { initPid, nodes }: LauncherRecord,
  pods: readonly Pod[],
  isThorough: boolean,
): Promise<Inside> {
  const names = Array.from({ length: nodes }, (_, at) => `node${at + 1}`);
  const looks = names.map(async (node): Promise<Inside> => {
    const sidecars = pods.filter((pod) => pod.spec.nodeName === node && isRunning(pod) && hasSidecar(pod));
    const asked = sidecars.slice(0, sidecarsMax);
    const general = isThorough ? nodeQuestions : [];
    const questions = [...general, ...asked.map(sidecarQuestion)];
    const answers = await lookInside({ initPid, netns: node }, questions, answerMs);
    const probes = isThorough ? [toNodeProbe(node, answers)] : [];
    return { probes, sidecars: asked.map((pod, at) => toSidecarProbe(pod, answers[general.length + at])) };
  });
  const all = await Promise.all(looks);
  return { probes: all.flatMap(({ probes }) => probes), sidecars: all.flatMap(({ sidecars }) => sidecars) };
}

function isRunning({ status, metadata }: Pod): boolean {
  return status?.phase === "Running" && metadata.deletionTimestamp === undefined;
}

function sidecarQuestion({ metadata }: Pod): Question {
  return {
    kind: "http",
    address: "127.0.0.1",
    port: sidecarPorts.admin,
    path: "/ready",
    netns: netnsPath(metadata.uid ?? ""),
  };
}

function toSidecarProbe({ metadata }: Pod, answer: Answer | undefined): SidecarProbe {
  const { name, namespace = "default" } = metadata;
  return { namespace, pod: name, problem: sidecarProblem(answer) };
}

function sidecarProblem(answer: Answer | undefined): string | undefined {
  if (answer?.kind === "http") return answer.status === 200 ? undefined : answer.body.trim();
  return answer?.kind === "failed" ? answer.message : "no answer";
}

/** Answers in the order of `nodeQuestions`. */
function toNodeProbe(node: string, answers: readonly Answer[]): NodeProbe {
  const [tables, service, inside, outside] = answers;
  return {
    node,
    tables: {
      missing: tables?.kind === "tables" && !tableNames.some((name) => tables.names.includes(`ip ${name}`)),
      problem: problemOf(tables),
    },
    service: problemOf(service),
    dns: problemOf(inside),
    upstream: isUpstreamBroken(outside) ? problemOf(outside) : undefined,
  };
}

function problemOf(answer: Answer | undefined): string | undefined {
  if (answer === undefined) return "no answer";
  return answer.kind === "failed" ? answer.message : undefined;
}

/**
 * REFUSED is the answer of a cluster without upstreams, which `ResolvConfUnusable` tells; a missing name is an
 * answer.
 */
function isUpstreamBroken(answer: Answer | undefined): boolean {
  return answer?.kind === "failed" && !["EREFUSED", "ENOTFOUND", "ENODATA"].includes(answer.code);
}
