/**
 * The control process: store, API server, controllers, scheduler, push, identity.
 *
 *   pki ─▶ store ─▶ API server ─▶ bootstrap ─▶ controllers, scheduler, push ─▶ "ready"
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bootstrap } from "../control/apiserver/bootstrap.ts";
import { clientCertificates } from "../control/apiserver/authn.ts";
import { createKubeletClient } from "../control/apiserver/kubelet-client.ts";
import { type ApiServer, createApiServer } from "../control/apiserver/server.ts";
import type { LocalClient } from "../control/apiserver/local-client.ts";
import type { Informers } from "../control/controllers/context.ts";
import { startControllers } from "../control/controllers/run.ts";
import { type PushServer, createPushServer } from "../control/push/server.ts";
import { Snapshot } from "../control/snapshot/index.ts";
import { snapshotKinds } from "../control/snapshot/kinds.ts";
import { Compactor } from "../control/store/compactor.ts";
import { SchedulerMetrics } from "../control/scheduler/metrics.ts";
import type { Informer } from "#api/client/informer.ts";
import { renderPage } from "#api/metrics/exposition.ts";
import { createProcessMetrics } from "#api/metrics/process.ts";
import { WorkqueueMetrics } from "#api/metrics/workqueue.ts";
import { nodes as nodeKind } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { type KubeObject, keyOf } from "#api/meta.ts";
import { type PKI, openPKI } from "../control/identity/pki.ts";
import { openTokenSigner } from "../control/identity/tokens.ts";
import { openSqliteStore } from "../control/store/sqlite.ts";
import { StoreError } from "../control/store/store.ts";
import { realClock as clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { createServer } from "node:net";
import { listenKept, startChild } from "./child.ts";
import type { SyncPage } from "./diagnosis/sync-page.ts";
import { HostPortRequests } from "./host-port-requests.ts";
import { type ControlConfig, addresses } from "./ipc.ts";
import { formatKubeconfig } from "./kubeconfig-file.ts";

const log = createLogger("control");
const child = await startChild<ControlConfig>();
const { cluster, stateDir, apiAddress, nodes, timing } = child.config;
const { nodeMonitorGraceMs } = timing;
const hostPorts = new HostPortRequests((request) => child.send(request));
child.onMessage((message) => (message.kind === "hostPortsDone" ? hostPorts.receive(message) : undefined));

const snapshot = new Snapshot();
let push: PushServer | undefined;

try {
  const pki = await openPKI(join(stateDir, "pki"), clock, random);
  const api = await startApiServer(pki);
  const { client } = api;
  await issueCertificates(pki);
  await forgetNodes(client);
  await startControllersAndPush(api, pki.ca);
  child.send({ kind: "ready" });
  log.info("Control plane is ready", { api: apiAddress });
} catch (error) {
  log.error("Cannot start", { error: messageOf(error) });
  // Wrong files do not mend themselves: say so instead of starting again and again.
  if (error instanceof StoreError) child.send({ kind: "fatal", message: messageOf(error) });
  process.exit(1);
}

async function startApiServer(pki: PKI): Promise<ApiServer> {
  const names = ["127.0.0.1", addresses.kubernetesService, addresses.control, "localhost"];
  const service = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
  ];
  const subject = { user: "kube-apiserver", names: [...names, ...service] };
  const { cert, key } = await pki.issue("apiserver", subject);
  const kubelet = await pki.issue("apiserver-kubelet-client", { user: "kube-apiserver-kubelet-client" });
  const store = openSqliteStore({ path: join(stateDir, "wherry.db") });
  const api = createApiServer({
    store,
    clock,
    random,
    log: log.with({ part: "apiserver" }),
    tls: { cert, key, ca: pki.ca },
    authenticators: [clientCertificates],
    tokens: openTokenSigner(join(stateDir, "pki")),
    admission: { requireServiceAccounts: true, automountTokens: true, ...timing },
    kubelet: createKubeletClient({ tls: { ca: pki.ca, ...kubelet } }),
    debug: { sync: syncPage },
  });
  await api.start();
  new Compactor(store, clock, log).start();
  // One API on two sockets: the host's, which the launcher published, and the cluster's own.
  for (const name of ["api-host", "api-cluster"]) {
    const front = createServer((socket) => api.server.emit("connection", socket));
    await listenKept(child, front, name, { address: addresses.control, port: addresses.apiPort });
  }
  await bootstrap(api.client, { apiAddress: { address: addresses.control, port: addresses.apiPort } });
  return api;
}

/** /debug/sync: who takes its configuration from here, and how far each is. */
function syncPage(): SyncPage {
  return {
    revision: snapshot.revision,
    synced: snapshot.isSynced,
    problems: Object.fromEntries(snapshot.problems),
    clients: push?.status() ?? [],
  };
}

/** A cluster that starts with fewer nodes than before: what ran on the others is gone, so say so. */
async function forgetNodes(client: LocalClient): Promise<void> {
  const { items } = await client.list(nodeKind);
  const gone = new Set(
    items.map(({ metadata }) => metadata.name).filter((name) => Number(/^node(\d+)$/.exec(name)?.[1]) > nodes),
  );
  for (const name of gone) await client.delete(nodeKind, { name });
  for (const pod of (await client.list(pods)).items) {
    if (gone.has(pod.spec.nodeName ?? "")) await client.delete(pods, keyOf(pod), { gracePeriodSeconds: 0 });
  }
}

/** One set of caches feeds the controllers and the snapshot that is pushed. */
async function startControllersAndPush(api: ApiServer, ca: string): Promise<void> {
  const { client } = api;
  const served = createPushServer({ index: snapshot, clock, log: log.with({ part: "push" }) });
  push = served;
  const queues = new WorkqueueMetrics(clock);
  const schedulerMetrics = new SchedulerMetrics();
  await startControllers(
    {
      client,
      clock,
      random,
      log: log.with({ part: "controllers" }),
      queues,
      schedulerMetrics,
      finalize: (namespace, finalizers) => client.finalize(namespace, finalizers),
      bind: (pod, nodeName) => client.bind(pod, nodeName),
      objects: snapshot.objects,
      nodeLifecycle: { nodeMonitorGraceMs, nodeMonitorPeriodMs: Math.min(5000, nodeMonitorGraceMs / 4) },
      ca,
      publishHostPorts: (ports) => hostPorts.publish(ports),
      observe: (informers) => feedSnapshot(snapshot, informers),
    },
    new AbortController().signal,
  );
  for (const kind of snapshotKinds) snapshot.synced(kind);
  // One process, one page: kube-scheduler's, kube-controller-manager's and istiod's numbers are beside the API server's.
  api.appendMetrics(() => renderPage([queues, schedulerMetrics]));
  api.appendMetrics(() => served.metrics.collect());
  api.appendMetrics(createProcessMetrics(clock));
  await served.listen(`${addresses.control}:${addresses.adsPort}`);
}

function feedSnapshot(snapshot: Snapshot, informers: Informers): void {
  for (const informer of Object.values(informers) as Informer<KubeObject>[]) {
    informer.addHandler({
      added: (object) => snapshot.onEvent(informer.kind, "ADDED", object),
      updated: (object) => snapshot.onEvent(informer.kind, "MODIFIED", object),
      deleted: (object) => snapshot.onEvent(informer.kind, "DELETED", object),
    });
  }
}

/** The certificates that people and node agents use. */
async function issueCertificates(pki: PKI): Promise<void> {
  const admin = await pki.issue("admin", { user: "kubernetes-admin", groups: ["system:masters"] });
  const kubeconfig = formatKubeconfig({ cluster, server: `https://${apiAddress}`, ca: pki.ca, ...admin });
  writeFileSync(join(stateDir, "kubeconfig"), kubeconfig, { mode: 0o600 });
  for (let index = 1; index <= nodes; index += 1) {
    const names = [`node${index}`, addresses.node(index)];
    await pki.issue(`node${index}`, { user: `system:node:node${index}`, groups: ["system:nodes"], names });
  }
}
