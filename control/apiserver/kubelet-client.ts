/**
 * The API server's client of kubelets: opens container logs over HTTPS.
 *
 *   verbs/log.ts ─▶ OpenLog ─▶ GET https://<node>:10250/containerLogs/<namespace>/<pod>/<container>
 *
 * undici is loaded at the first use: it costs start-up time that a cluster whose logs nobody reads need not pay.
 */
import type { ConnectionOptions } from "node:tls";
import type { Dispatcher } from "undici";
import { StatusError } from "#api/status.ts";
import { messageOf } from "#lib/errors.ts";
import type { LogTarget, OpenLog } from "./verbs/log.ts";

export interface KubeletClientConfig {
  /** Client certificate and the authority that signs kubelets' certificates. Undefined: plain HTTP, for tests. */
  readonly tls: Pick<ConnectionOptions, "ca" | "cert" | "key" | "servername"> | undefined;
  /** Longest time to connect and to get the head of the answer, in ms. Default 10 000. */
  readonly timeoutMs?: number;
}

/** Longest sentence taken from a kubelet's refusal, in bytes. */
const refusalBytesMax = 4096;

/** Construct; nothing is opened before the first log. `close()` ends what is open. */
export function createKubeletClient(config: KubeletClientConfig): {
  readonly openLog: OpenLog;
  close(): Promise<void>;
} {
  let agent: Promise<Dispatcher> | undefined;
  const timeoutMs = config.timeoutMs ?? 10_000;
  const makeAgent = async (): Promise<Dispatcher> => {
    const { Agent } = await import("undici");
    const connect = { ...config.tls, timeout: timeoutMs };
    // Following a log may take forever between two lines.
    return new Agent({ connect, headersTimeout: timeoutMs, bodyTimeout: 0, connections: 256 });
  };
  return {
    openLog: async (target, signal) => {
      agent ??= makeAgent();
      return open(await agent, config.tls === undefined ? "http" : "https", target, signal);
    },
    close: async () => {
      if (agent !== undefined) await (await agent).destroy();
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
  const where = `the log of ${namespace}/${pod} from its kubelet at ${address}:${port}`;
  try {
    const { statusCode, body } = await request(url, { dispatcher, signal });
    if (statusCode === 200) return body;
    const text = (await body.text()).slice(0, refusalBytesMax).trim();
    throw new StatusError(
      statusCode < 500 ? "BadRequest" : "ServiceUnavailable",
      `Cannot get ${where}: ${statusCode} ${text}`,
    );
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw new StatusError("ServiceUnavailable", `Cannot get ${where}: ${messageOf(error)}`);
  }
}
