/**
 * The kubelet's own API, for the API server: container logs. HTTPS; the client must have a certificate of the cluster's CA,
 * for pods can reach this port, too.
 *
 *   GET /containerLogs/NAMESPACE/POD/CONTAINER?follow=true&tailLines=N        GET /healthz
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Server, createServer } from "node:https";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { LogError, requireLog, streamLog } from "./logs.ts";
import type { Runtime } from "./runtime.ts";
import type { Pod } from "#api/core/pod.ts";

/** What this API needs of the kubelet. */
export interface LogSource {
  readonly runtime: Pick<Runtime, "logFile">;
  findPod(namespace: string, name: string): Pod | undefined;
}

export interface KubeletServerOptions {
  readonly kubelet: LogSource;
  readonly clock: Clock;
  /** PEM texts. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

export function createKubeletServer({ kubelet, clock, tls }: KubeletServerOptions): Server {
  return createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    route(request, response, kubelet, clock).catch((error: unknown) => {
      if (response.headersSent) return void response.destroy();
      const code = error instanceof LogError ? (error.code === "NotFound" ? 404 : 400) : 500;
      response.writeHead(code, { "content-type": "text/plain" });
      response.end(`${messageOf(error)}\n`);
    });
  });
}

async function route(
  request: IncomingMessage,
  response: ServerResponse,
  kubelet: LogSource,
  clock: Clock,
): Promise<void> {
  const url = new URL(request.url ?? "/", "https://kubelet");
  if (url.pathname === "/healthz") return void response.end("ok");
  const [, area, namespace = "", name = "", container = ""] = url.pathname.split("/").map(decodeSegment);
  if (request.method !== "GET" || area !== "containerLogs") {
    response.writeHead(404, { "content-type": "text/plain" });
    return void response.end("Cannot serve path: wanted /containerLogs/NAMESPACE/POD/CONTAINER\n");
  }
  const pod = kubelet.findPod(namespace, name);
  if (pod === undefined) throw new LogError("NotFound", `Cannot read logs: no pod ${namespace}/${name} on this node`);
  // The name becomes part of a path: only that of a container of the pod will do.
  if (!pod.spec.containers.some((candidate) => candidate.name === container)) {
    throw new LogError(
      "NotFound",
      `Cannot read logs: no container ${JSON.stringify(container)} in ${namespace}/${name}`,
    );
  }
  const file = kubelet.runtime.logFile(pod.metadata.uid ?? "", container);
  const tailLines = parseTail(url.searchParams.get("tailLines"));
  await requireLog(file);
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  response.writeHead(200, { "content-type": "text/plain" });
  const options = {
    follow: url.searchParams.get("follow") === "true",
    tailLines,
  };
  for await (const chunk of streamLog(file, options, { clock, signal: gone.signal })) {
    if (!response.write(chunk)) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
  }
  response.end();
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new LogError("BadRequest", `Cannot read path: ${JSON.stringify(segment)}, wanted percent-encoded UTF-8`);
  }
}

/** The tailLines parameter; undefined when it is absent. */
function parseTail(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new LogError("BadRequest", `Cannot read tailLines: ${JSON.stringify(text)}, wanted an integer >= 0`);
}
