/**
 * Looks at a running cluster from every side that there is: files, API, push, inside each node, each sidecar.
 *
 *   state folder, API server, inside.ts ─▶ observe() ─▶ Observation
 *
 * Reads only, but for one Lease that `isThorough` renews to learn whether the store takes writes. Each side that
 * fails is a value in the Observation, never an error; each has a time limit.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { daemonSets } from "#api/apps/daemonset.ts";
import { deployments } from "#api/apps/deployment.ts";
import { jobs } from "#api/batch/job.ts";
import type { HttpKubeClient } from "#api/client/http.ts";
import { leases } from "#api/coordination/lease.ts";
import { events } from "#api/core/event.ts";
import { namespaces } from "#api/core/namespace.ts";
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { services } from "#api/core/service.ts";
import { endpointSlices } from "#api/discovery/endpointslice.ts";
import { gateways } from "#api/gateway/gateway.ts";
import { httpRoutes } from "#api/gateway/httproute.ts";
import { ingresses } from "#api/networking/ingress.ts";
import { ingressClasses } from "#api/networking/ingress-class.ts";
import { networkPolicies } from "#api/networking/network-policy.ts";
import type { KindRef } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import { formatTime } from "#api/meta.ts";
import { isNotFound } from "#api/status.ts";
import { realClock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { readClusterKubeconfig } from "../cluster-kubeconfig.ts";
import { connect } from "../connect.ts";
import { readProcessStates } from "../launcher/process-states.ts";
import { type LauncherRecord, bootTimeMs, stateDirOf } from "../launcher/state-dir.ts";
import { observeInside } from "./observe-inside.ts";
import { type APIState, type Certificate, type ClusterObjects, type Observation, noObjects } from "./observation.ts";
import { type SyncPage, clientsOf } from "./sync-page.ts";

export interface ObserveOptions {
  /** Also look from inside the nodes at names, rules and writes. */
  readonly isThorough: boolean;
}

/** Longest wait for the API server, in ms. */
const apiTimeoutMs = 3000;
/** A push that is under way is given this long to be acknowledged, in ms. */
const pushSettleMs = 300;

/** What can be seen of the cluster of `record`. */
export async function observe(
  cluster: string,
  record: LauncherRecord,
  { isThorough }: ObserveOptions,
): Promise<Observation> {
  const dir = stateDirOf(process.env, cluster);
  const fromFiles = { cluster, record, processes: readProcessStates(dir), certificates: readCertificates(dir) };
  const seen = await withClient(cluster, (client) => readAPI(client, isThorough));
  const { probes, sidecars } = await observeInside(record, seen.objects.pods, isThorough);
  const nowMs = realClock.nowMs();
  const clockShiftMs = bootTimeMs(nowMs) - record.bootMs;
  return { ...fromFiles, ...seen, nodes: probes, sidecars, nowMs, clockShiftMs };
}

type FromAPI = Pick<Observation, "api" | "objects" | "sync" | "writeProblem">;

async function withClient(cluster: string, read: (client: HttpKubeClient) => Promise<FromAPI>): Promise<FromAPI> {
  let client: HttpKubeClient | undefined;
  const timeout = AbortSignal.timeout(apiTimeoutMs);
  const late = new Promise<never>((_, reject) => {
    timeout.addEventListener("abort", () => reject(new Error(`no answer within ${apiTimeoutMs / 1000} s`)));
  });
  try {
    // Shorter than ours, or closing would wait for a connection that never comes about.
    client = connect(cluster, process.env, apiTimeoutMs - 500);
    return await Promise.race([read(client), late]);
  } catch (error) {
    const api: APIState = { kind: "unreachable", message: reasonOf(error) };
    return { api, objects: noObjects, sync: undefined, writeProblem: undefined };
  } finally {
    await client?.close();
  }
}

/** A failed connection says little itself; its cause says more. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
  return `${messageOf(error)}${cause}`;
}

async function readAPI(client: HttpKubeClient, isThorough: boolean): Promise<FromAPI> {
  const api = await readiness(client);
  if (api.kind !== "ready") return { api, objects: noObjects, sync: undefined, writeProblem: undefined };
  const [objects, sync, writeProblem] = await Promise.all([
    readObjects(client),
    readSync(client),
    isThorough ? tryWrite(client) : undefined,
  ]);
  return { api, objects, sync, writeProblem };
}

async function readiness(client: HttpKubeClient): Promise<APIState> {
  try {
    await readText(client, "/readyz");
    return { kind: "ready" };
  } catch (error) {
    const message = messageOf(error);
    // An answer that is no success is an answer; the rest never got there.
    return /: \d{3} /.test(message) ? { kind: "unready", message } : { kind: "unreachable", message: reasonOf(error) };
  }
}

/** Every object that is looked at. */
export async function readObjects(client: HttpKubeClient): Promise<ClusterObjects> {
  const all = async <T extends KubeObject>(kind: KindRef<T>): Promise<readonly T[]> => (await client.list(kind)).items;
  const [nodeList, podList, serviceList, sliceList, deploymentList] = await Promise.all([
    all(nodes),
    all(pods),
    all(services),
    all(endpointSlices),
    all(deployments),
  ]);
  const [daemonSetList, jobList, eventList, gatewayList, routeList] = await Promise.all([
    all(daemonSets),
    all(jobs),
    all(events),
    all(gateways),
    all(httpRoutes),
  ]);
  const [ingressList, classList, policyList, namespaceList] = await Promise.all([
    all(ingresses),
    all(ingressClasses),
    all(networkPolicies),
    all(namespaces),
  ]);
  return {
    nodes: nodeList,
    pods: podList,
    services: serviceList,
    endpointSlices: sliceList,
    deployments: deploymentList,
    daemonSets: daemonSetList,
    jobs: jobList,
    events: eventList,
    gateways: gatewayList,
    httpRoutes: routeList,
    ingresses: ingressList,
    ingressClasses: classList,
    networkPolicies: policyList,
    namespaces: namespaceList,
  };
}

/** The page, of a moment at which nothing is under way if there is one. */
async function readSync(client: HttpKubeClient): Promise<SyncPage | undefined> {
  const read = async (): Promise<SyncPage> => JSON.parse(await readText(client, "/debug/sync")) as SyncPage;
  const page = await read();
  if (clientsOf(page).every(({ state }) => state !== "behind")) return page;
  await realClock.sleep(pushSettleMs);
  return read();
}

async function readText(client: HttpKubeClient, path: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await client.stream(path, {})) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const probeLease = { namespace: "kube-system", name: "wherry-check" };

/** Renews a Lease of ours. Why it could not, or undefined. */
async function tryWrite(client: HttpKubeClient): Promise<string | undefined> {
  const renewTime = formatTime(realClock.nowMs()).replace("Z", ".000000Z");
  const spec = { holderIdentity: "wherry check", renewTime };
  try {
    await client.patch(leases, probeLease, { spec });
    return undefined;
  } catch (error) {
    if (!isNotFound(error)) return messageOf(error);
  }
  try {
    const { apiVersion, kind } = { apiVersion: "coordination.k8s.io/v1", kind: "Lease" };
    await client.create(leases, { apiVersion, kind, metadata: probeLease, spec });
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** The certificates in the state folder and the one in its kubeconfig; what cannot be read is passed over. */
function readCertificates(dir: string): readonly Certificate[] {
  const pki = join(dir, "pki");
  const files = listFiles(pki).filter((file) => file.endsWith(".crt"));
  const own = files.flatMap((file) => certificateOf(file, () => readFileSync(join(pki, file), "utf8")));
  return [...own, ...certificateOf("kubeconfig", () => readKubeconfigCertificate(dir))];
}

function listFiles(dir: string): readonly string[] {
  try {
    return readdirSync(dir).sort();
  } catch {
    return []; // No such folder: then there is no certificate to look at.
  }
}

function readKubeconfigCertificate(dir: string): string {
  const config = readClusterKubeconfig(dir);
  return Buffer.from(config.users[0].user["client-certificate-data"], "base64").toString();
}

function certificateOf(name: string, read: () => string): Certificate[] {
  try {
    const { validFrom, validTo } = new X509Certificate(read());
    return [{ name, notBeforeMs: Date.parse(validFrom), notAfterMs: Date.parse(validTo) }];
  } catch {
    return []; // No certificate in it: what needs it will say so.
  }
}
