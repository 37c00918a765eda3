/**
 * `wherry explain GET http://reviews:9080/x --from productpage`: what would become of a request, from the data that
 * decides it; `wherry explain CODE`: what a code means.
 *
 *   API objects, the pod's own resolver, its sidecar's /config_dump ─▶ diagnosis/explain/ ─▶ text, JSON
 *
 * Nothing is sent to the destination.
 */
import { isIPv4 } from "node:net";
import type { HttpKubeClient } from "#api/client/http.ts";
import { deployments } from "#api/apps/deployment.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import { isNotFound } from "#api/status.ts";
import type { EndpointSpec } from "#proxy/l7/endpoint.ts";
import { sidecarPorts } from "../kubelet/pod-network.ts";
import { connect } from "./connect.ts";
import { hasSidecar } from "./diagnosis/diagnose.ts";
import { type EndpointState, type Explanation, formatExplanation } from "./diagnosis/explain/explanation.ts";
import { withSockets } from "./diagnosis/explain/listening.ts";
import { followNode, headlessHint, serviceAt } from "./diagnosis/explain/node-path.ts";
import { dnsRefusalOf, withPolicies } from "./diagnosis/explain/policy.ts";
import { type ExplainedRequest, namesToTry, parseRequest, pickResolved } from "./diagnosis/explain/request.ts";
import { serviceWay } from "./diagnosis/explain/service-match.ts";
import { type ConfigDump, type Followed, followSidecar, isPassthrough } from "./diagnosis/explain/sidecar-path.ts";
import { type Answer, lookInside } from "./diagnosis/inside.ts";
import type { ListeningSocket } from "./diagnosis/listening-sockets.ts";
import { formatCode } from "./diagnosis/message-index.ts";
import type { ClusterObjects } from "./diagnosis/observation.ts";
import { readObjects } from "./diagnosis/observe.ts";
import { CliError } from "./errors.ts";
import { addresses } from "./ipc.ts";
import { type Destination, type EgressDecision, decideEgress } from "./launcher/egress-policy.ts";
import { hostAddresses } from "./launcher/host-addresses.ts";
import { type LauncherRecord, requireRunning } from "./launcher/state-dir.ts";
import { resolvePod } from "./pods.ts";

export interface ExplainOptions {
  readonly name: string;
  readonly namespace: string;
  readonly from?: string;
  readonly header: readonly string[];
  readonly output: "text" | "json";
}

export async function explain(method: string, url: string | undefined, options: ExplainOptions): Promise<void> {
  if (url === undefined) return void process.stdout.write(formatCode(method, options.output));
  const request = parseRequest(method, url, options.header);
  if (options.from === undefined)
    throw new CliError("Usage", `Cannot explain ${request.text}: no sender, wanted --from POD`);
  const { record } = requireRunning(process.env, options.name);
  const client = connect(options.name);
  try {
    const pod = await findSender(client, options.from, options.namespace);
    const objects = await readObjects(client);
    const explanation = await follow(request, pod, { objects, record });
    const text = options.output === "json" ? `${JSON.stringify(explanation)}\n` : formatExplanation(explanation);
    process.stdout.write(text);
  } finally {
    await client.close();
  }
}

/** The pod that people mean: its name, `deploy/x`, `gateway/[NS/]x`, a deployment's name, an app label. */
async function findSender(client: HttpKubeClient, word: string, namespace: string): Promise<Pod> {
  const byLabel = async (labelSelector: string): Promise<Pod | undefined> =>
    (await client.list(pods, { namespace, labelSelector })).items.find(({ status }) => status?.phase === "Running");
  if (word.includes("/")) return client.get(pods, await resolvePod(client, word, namespace));
  const found = await client.get(pods, { namespace, name: word }).catch(passNotFound);
  if (found !== undefined) return found;
  const deployment = await client.get(deployments, { namespace, name: word }).catch(passNotFound);
  if (deployment !== undefined) return findSender(client, `deploy/${word}`, namespace);
  const labelled = await byLabel(`app=${word}`);
  if (labelled !== undefined) return labelled;
  const wanted = "wanted a pod, a deployment or the value of a label app (see: wherry get pods)";
  throw new CliError(
    "Failed",
    `Cannot explain from ${word}: nothing of that name in namespace ${namespace}, ${wanted}`,
  );
}

function passNotFound(error: unknown): undefined {
  if (!isNotFound(error)) throw error;
  return undefined;
}

interface Surroundings {
  readonly objects: ClusterObjects;
  readonly record: LauncherRecord;
}

async function follow(request: ExplainedRequest, pod: Pod, around: Surroundings): Promise<Explanation> {
  const { metadata, spec } = pod;
  const { name, namespace = "default", uid = "" } = metadata;
  const place = { initPid: around.record.initPid, netns: `pod-${uid}` };
  const isGateway = metadata.labels?.[gatewayNameLabel] !== undefined;
  const names = isGateway || isIPv4(request.hostname) ? [] : namesToTry(request.hostname, namespace);
  const isProxied = hasSidecar(pod);
  const config = { kind: "http", address: "127.0.0.1", port: sidecarPorts.admin, path: "/config_dump" } as const;
  const dnsRefusal = names.length === 0 ? "" : dnsRefusalOf(pod, around.objects);
  // What is dropped would be waited for.
  const asked = dnsRefusal === "" ? names : [];
  const questions = asked.map((each) => ({ kind: "dns", server: addresses.dns, name: each }) as const);
  const answers = await lookInside(place, [...questions, ...(isProxied ? [config] : [])]);
  const resolved = isGateway ? undefined : resolution(request.hostname, asked, answers);
  const common = { request: request.text, from: `${namespace}/${name}`, node: spec.nodeName ?? "no node", resolved };
  const address = isGateway ? "0.0.0.0" : resolved?.addresses[0];
  if (address === undefined) {
    const why =
      dnsRefusal === ""
        ? `the name ${request.hostname} does not resolve: ${failureOf(answers)}`
        : `the name ${request.hostname} does not resolve: ${dnsRefusal} does not allow the pod to ask DNS, UDP port 53 of ${addresses.dns}`;
    const nothing = { service: undefined, listener: undefined, route: undefined, shares: [] };
    return { ...common, ...nothing, by: "nobody", outcome: { kind: "fails", why } };
  }
  const destination = { address, port: request.port };
  const service = isGateway ? undefined : serviceAt(address, resolved?.name ?? "", around.objects);
  const describe = (endpoint: EndpointSpec): EndpointState => describeEndpoint(endpoint, around.objects);
  const egress = (to: Destination): EgressDecision => decideEgress(to, around.record.egress, hostAddresses());
  const { objects, record } = around;
  const way = isGateway ? undefined : serviceWay(pod, destination, objects);
  const from = { objects, from: pod, addresses: resolved?.addresses ?? [], describe, egress };
  const byNode = (): Followed => followNode(service, destination, from);
  const bySidecar = (): Followed => {
    const own = followSidecar(readDump(answers[asked.length]), request, destination, describe);
    // What the sidecar does not know it passes on to the rules of the node.
    return own.shares.some(({ cluster }) => isPassthrough(cluster)) ? { ...byNode(), listener: own.listener } : own;
  };
  const judged = { objects, destination, isProxied, way: isProxied ? undefined : way };
  const allowed = withPolicies(isProxied ? bySidecar() : byNode(), pod, judged);
  const sockets = await socketsOf(allowed, { objects, record });
  const hint = headlessHint(service, request.port, objects);
  const followed = withSockets(allowed, { sockets, isProxied: isProxied || way?.isEachRequest === true, hint });
  const found = way?.match.service ?? service?.metadata;
  const key =
    found === undefined ? undefined : `${found.namespace}/${found.name}:${way?.match.port.port ?? request.port}`;
  return { ...common, service: key, by: isGateway ? "gateway" : isProxied ? "sidecar" : "node rules", ...followed };
}

/** What listens in the pods that the request may end at, by their addresses. */
async function socketsOf(
  { shares }: Followed,
  { objects, record }: Surroundings,
): Promise<ReadonlyMap<string, readonly ListeningSocket[]>> {
  const ends = new Set(shares.flatMap(({ endpoints = [] }) => endpoints.map(({ address }) => address)));
  const ended = objects.pods.filter(({ status }) => status?.phase === "Running" && ends.has(status.podIP ?? ""));
  const questions = ended.map(({ metadata }) => ({ kind: "listening", netns: `pod-${metadata.uid ?? ""}` }) as const);
  const answers = await lookInside({ initPid: record.initPid, netns: "node1" }, questions);
  return new Map(
    ended.flatMap(({ status }, at) => {
      const answer = answers[at];
      return answer?.kind === "listening" ? [[status?.podIP ?? "", answer.sockets] as const] : [];
    }),
  );
}

/** The name that has addresses; without one the name as it was asked for. */
function resolution(hostname: string, names: readonly string[], answers: readonly Answer[]): Explanation["resolved"] {
  if (isIPv4(hostname)) return { name: hostname, addresses: [hostname] };
  const found = answers.map((answer) => (answer.kind === "dns" ? answer.addresses : []));
  return pickResolved(names, found) ?? { name: hostname, addresses: [] };
}

/** Why the first name that was tried has no address: the last is the bare one, of the world outside. */
function failureOf(answers: readonly Answer[]): string {
  const failed = answers.find(({ kind }) => kind === "failed");
  return failed?.kind === "failed" ? failed.code : "no answer";
}

function readDump(answer: Answer | undefined): ConfigDump {
  if (answer?.kind === "http" && answer.status === 200) return JSON.parse(answer.body) as ConfigDump;
  const why = answer?.kind === "failed" ? answer.message : "no answer";
  throw new CliError("Failed", `Cannot read the sidecar's configuration: ${why} (see: wherry check)`);
}

function describeEndpoint({ address, port, isServing }: EndpointSpec, { pods: all }: ClusterObjects): EndpointState {
  const pod = all.find(({ status }) => status?.podIP === address && status.phase === "Running");
  const { name = "", namespace = "" } = pod?.metadata ?? {};
  return {
    address,
    port,
    serving: isServing,
    pod: pod === undefined ? "" : `${namespace}/${name}`,
    node: pod?.spec.nodeName ?? "",
    hasSidecar: pod !== undefined && hasSidecar(pod),
    refusedBy: "",
    isUnheard: false,
  };
}
