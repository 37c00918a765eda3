/**
 * The kubelet's own API, for the API server: container logs and statistics. HTTPS; the client must have the API
 * server's certificate, for pods can reach this port, too, and other nodes and users have certificates of the same CA.
 *
 *   GET /containerLogs/NAMESPACE/POD/CONTAINER, with the parameters of PodLogOptions
 *   GET /stats/summary        GET /healthz
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Server, createServer } from "node:https";
import type { TLSSocket } from "node:tls";
import type { Pod, PodStatus } from "#api/core/pod.ts";
import type { StatsSummary } from "#api/wire/stats.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { LogError } from "./logs/errors.ts";
import { logAttempt } from "./logs/log-instance.ts";
import { parseLogOptions } from "./logs/log-options.ts";
import { readLog } from "./logs/read-log.ts";
import { containersOf } from "./pod-actions.ts";
import type { Runtime } from "./runtime.ts";

/** What this API needs of the kubelet. */
export interface KubeletSource {
  readonly runtime: Pick<Runtime, "logFile" | "lookAtLog">;
  findPod(namespace: string, name: string): Pod | undefined;
  statusOf(pod: Pod): PodStatus | undefined;
  stats(): Promise<StatsSummary>;
}

/** Who may ask: the name in the API server's client certificate, as in clusters that kubeadm makes. */
const apiServerName = "kube-apiserver-kubelet-client";

export interface KubeletServerOptions {
  readonly kubelet: KubeletSource;
  readonly clock: Clock;
  /** PEM texts. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

export function createKubeletServer({ kubelet, clock, tls }: KubeletServerOptions): Server {
  return createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    const { CN: name } = (request.socket as TLSSocket).getPeerCertificate().subject;
    if (name !== apiServerName) return refuse(response, name);
    answer(request, response, kubelet, clock).catch((error: unknown) => {
      if (response.headersSent) return void response.destroy();
      const code = error instanceof LogError ? (error.code === "NotFound" ? 404 : 400) : 500;
      response.writeHead(code, { "content-type": "text/plain" });
      response.end(`${messageOf(error)}\n`);
    });
  });
}

function refuse(response: ServerResponse, name: string | readonly string[] | undefined): void {
  response.writeHead(403, { "content-type": "text/plain" });
  response.end(`Cannot answer ${JSON.stringify(name ?? "")}: wanted a certificate of ${apiServerName}\n`);
}

/** Answers one request. Throws LogError, before anything is written, for what the client did wrong. */
export async function answer(
  request: Pick<IncomingMessage, "url" | "method">,
  response: ServerResponse,
  kubelet: KubeletSource,
  clock: Clock,
): Promise<void> {
  const url = new URL(request.url ?? "/", "https://kubelet");
  const [, area, namespace = "", name = "", container = ""] = url.pathname.split("/").map(decodeSegment);
  if (url.pathname === "/healthz") return void response.end("ok");
  if (request.method === "GET" && url.pathname === "/stats/summary") {
    response.writeHead(200, { "content-type": "application/json" });
    return void response.end(JSON.stringify(await kubelet.stats()));
  }
  if (request.method === "GET" && area === "containerLogs")
    return answerLog(response, { namespace, name, container, query: url.searchParams }, kubelet, clock);
  response.writeHead(404, { "content-type": "text/plain" });
  response.end("Cannot serve path: wanted /containerLogs/NAMESPACE/POD/CONTAINER or /stats/summary\n");
}

async function answerLog(
  response: ServerResponse,
  { namespace, name, container, query }: { namespace: string; name: string; container: string; query: URLSearchParams },
  kubelet: KubeletSource,
  clock: Clock,
): Promise<void> {
  const options = parseLogOptions(query, clock.nowMs());
  const pod = kubelet.findPod(namespace, name);
  if (pod === undefined) throw new LogError("NotFound", `pod "${name}" does not exist on this node`);
  // The name becomes part of a path: only that of a container of the pod will do.
  if (!containersOf(pod).some((candidate) => candidate.container.name === container))
    throw new LogError("NotFound", `container "${container}" not found in pod "${name}"`);
  const { previous } = options;
  const attempt = logAttempt(pod, kubelet.statusOf(pod), { container, previous });
  const file = kubelet.runtime.logFile(pod.metadata.uid ?? "", container, attempt);
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const isOpen = (): boolean => isRunning(kubelet, pod, { container, attempt });
  const look = (): void => kubelet.runtime.lookAtLog(file);
  const chunks = readLog({ file, options, clock, signal: gone.signal, look, isOpen });
  // The first chunk comes before the head: what is missing is said with a code.
  const first = options.follow ? undefined : await chunks.next();
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  if (first?.done === false) await write(response, first.value);
  for await (const chunk of chunks) await write(response, chunk);
  response.end();
}

/** Whether that very run of the container goes on. */
function isRunning(
  kubelet: KubeletSource,
  pod: Pod,
  { container, attempt }: { container: string; attempt: number },
): boolean {
  const status = kubelet.statusOf(pod);
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const found = all.find((candidate) => candidate.name === container);
  return found?.state.running !== undefined && found.containerID?.endsWith(`/${attempt}`) === true;
}

async function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  if (response.write(chunk)) return;
  await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new LogError("BadRequest", `Cannot read path: ${JSON.stringify(segment)}, wanted percent-encoded UTF-8`);
  }
}
