/**
 * The API server's client of kubelets: opens container logs and reads statistics over HTTPS.
 *
 *   verbs/log.ts ─▶ OpenLog ─▶ GET https://<node>:10250/containerLogs/<namespace>/<pod>/<container>
 *   resource-metrics.ts ─▶ ReadStats ─▶ GET https://<node>:10250/stats/summary
 *
 * undici is loaded at the first use: it costs start-up time that a cluster whose logs nobody reads need not pay.
 */
import type { ConnectionOptions } from "node:tls";
import type { Dispatcher } from "undici";
import { StatusError } from "#api/status.ts";
import type { StatsSummary } from "#api/wire/stats.ts";
import { messageOf } from "#lib/errors.ts";
import type { KubeletAddress } from "./kubelet-address.ts";
import type { LogTarget, OpenLog } from "./verbs/log.ts";

export interface KubeletClientConfig {
  /** Client certificate and the authority that signs kubelets' certificates. Undefined: plain HTTP, for tests. */
  readonly tls: Pick<ConnectionOptions, "ca" | "cert" | "key" | "servername"> | undefined;
  /** Longest time to connect and to get the head of the answer, in ms. Default 10 000. */
  readonly timeoutMs?: number;
}

/** What a kubelet measures now. Throws whatever prevents it, an abort of the signal included. */
export type ReadStats = (kubelet: KubeletAddress, signal: AbortSignal) => Promise<StatsSummary>;

export interface KubeletClient {
  readonly openLog: OpenLog;
  readonly readStats: ReadStats;
  close(): Promise<void>;
}

/** Longest text taken from a kubelet's refusal, in bytes. kube-apiserver's. */
const refusalBytesMax = 50_000;
/** Longest statistics, in bytes: some 110 pods of some containers each need less than a tenth. */
const statsBytesMax = 4 * 1024 * 1024;

/** Construct; nothing is opened before the first request. `close()` ends what is open. */
export function createKubeletClient(config: KubeletClientConfig): KubeletClient {
  const agents = new Map<boolean, Promise<Dispatcher>>();
  const timeoutMs = config.timeoutMs ?? 10_000;
  const scheme = config.tls === undefined ? "http" : "https";
  const makeAgent = async (isUnverified: boolean): Promise<Dispatcher> => {
    const { Agent } = await import("undici");
    const connect = { ...config.tls, timeout: timeoutMs, rejectUnauthorized: !isUnverified };
    // Following a log may take forever between two lines.
    return new Agent({ connect, headersTimeout: timeoutMs, bodyTimeout: 0, connections: 256 });
  };
  const agentOf = (isUnverified: boolean): Promise<Dispatcher> => {
    const agent = agents.get(isUnverified) ?? makeAgent(isUnverified);
    agents.set(isUnverified, agent);
    return agent;
  };
  return {
    openLog: async (target, signal) => open(await agentOf(target.isUnverified), scheme, target, signal),
    readStats: async ({ address, port }, signal) =>
      readStats(await agentOf(false), `${scheme}://${address}:${port}/stats/summary`, signal),
    close: async () => {
      for (const agent of agents.values()) await (await agent).destroy();
    },
  };
}

async function open(
  dispatcher: Dispatcher,
  scheme: string,
  target: LogTarget,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const { address, port, namespace, pod, container, query } = target;
  const path = [namespace, pod, container].map(encodeURIComponent).join("/");
  const url = `${scheme}://${address}:${port}/containerLogs/${path}?${query.toString()}`;
  const { request } = await import("undici");
  try {
    const { statusCode, body } = await request(url, { dispatcher, signal });
    if (statusCode === 200) return body;
    throw refusal(statusCode, await textOf(body), pod);
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw new StatusError("ServiceUnavailable", `Get ${JSON.stringify(url)}: ${messageOf(error)}`);
  }
}

/** The refusal of a kubelet as kube-apiserver passes it on: client-go rest.NewGenericServerResponse. */
function refusal(code: number, text: string, pod: string): StatusError {
  if (code === 400) return new StatusError("BadRequest", text);
  if (code === 404) {
    const message = `the server could not find the requested resource ( pods/log ${pod})`;
    const causes = [{ reason: "UnexpectedServerResponse" as const, field: "", message: text }];
    return new StatusError("NotFound", message, { name: pod, kind: "pods/log", causes });
  }
  if (code === 500) return new StatusError("InternalError", `Internal error occurred: ${text}`);
  return new StatusError("ServiceUnavailable", `the kubelet answered ${code}: ${text}`);
}

async function readStats(dispatcher: Dispatcher, url: string, signal: AbortSignal): Promise<StatsSummary> {
  const { request } = await import("undici");
  const { statusCode, body } = await request(url, { dispatcher, signal });
  const text = await textOf(body, statsBytesMax);
  if (statusCode !== 200) throw new Error(`Cannot get ${url}: got ${statusCode}, wanted 200`);
  return JSON.parse(text) as StatsSummary;
}

/** The body as text, cut where it gets too long. */
async function textOf(body: AsyncIterable<Uint8Array>, bytesMax = refusalBytesMax): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= bytesMax) break;
  }
  return Buffer.concat(chunks).subarray(0, bytesMax).toString().trim();
}
