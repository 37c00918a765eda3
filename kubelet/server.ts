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
import { LogError, streamLog } from "./logs.ts";
import type { Kubelet } from "./kubelet.ts";

export interface KubeletServerOptions {
  readonly kubelet: Kubelet;
  readonly clock: Clock;
  /** PEM texts. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

export function createKubeletServer({ kubelet, clock, tls }: KubeletServerOptions): Server {
  return createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    route(request, response, kubelet, clock).catch((error: unknown) => {
      if (response.headersSent) return void response.destroy();
      response.writeHead(error instanceof LogError ? 404 : 500, { "content-type": "text/plain" });
      response.end(`${messageOf(error)}\n`);
    });
  });
}

async function route(
  request: IncomingMessage,
  response: ServerResponse,
  kubelet: Kubelet,
  clock: Clock,
): Promise<void> {
  const url = new URL(request.url ?? "/", "https://kubelet");
  if (url.pathname === "/healthz") return void response.end("ok");
  const [, area, namespace = "", name = "", container = ""] = url.pathname.split("/").map(decodeURIComponent);
  if (request.method !== "GET" || area !== "containerLogs") {
    response.writeHead(404, { "content-type": "text/plain" });
    return void response.end("Cannot serve path: wanted /containerLogs/NAMESPACE/POD/CONTAINER\n");
  }
  const pod = kubelet.findPod(namespace, name);
  if (pod === undefined) throw new LogError("NotFound", `Cannot read logs: no pod ${namespace}/${name} on this node`);
  const file = kubelet.runtime.logFile(pod.metadata.uid ?? "", container);
  const tailText = url.searchParams.get("tailLines");
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  response.writeHead(200, { "content-type": "text/plain" });
  const options = {
    follow: url.searchParams.get("follow") === "true",
    tailLines: tailText === null ? undefined : Number(tailText),
  };
  for await (const chunk of streamLog(file, options, { clock, signal: gone.signal })) {
    if (!response.write(chunk)) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
  }
  response.end();
}
