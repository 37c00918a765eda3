/**
 * HTTP service discovery for Prometheus: lists objects when it asks, and answers with their targets.
 *
 *   GET /pod, /node, /endpointslice [?namespace=…] ─▶ list ─▶ targets.ts ─▶ JSON
 *
 * A list that fails is 503: Prometheus then keeps the targets it has.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { KubeClient } from "#api/client/client.ts";
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { endpointSlices } from "#api/discovery/endpointslice.ts";
import { messageOf } from "#lib/errors.ts";
import type { Role } from "./config.ts";
import { type TargetGroup, endpointSliceTargets, nodeTargets, podTargets } from "./targets.ts";

type Lister = Pick<KubeClient, "list">;
type Discover = (client: Lister) => Promise<readonly TargetGroup[]>;

const discoverers: Readonly<Record<Role, Discover>> = {
  pod: async (client) => podTargets((await client.list(pods)).items),
  node: async (client) => nodeTargets((await client.list(nodes)).items),
  endpointslice: async (client) => endpointSliceTargets((await client.list(endpointSlices)).items),
};

/** Not listening yet. */
export function createDiscovery(client: Lister): Server {
  return createServer((request, response) => {
    request.resume();
    answer(client, request, response).catch((error: unknown) =>
      send(response, 503, "text/plain", `Cannot list targets: ${messageOf(error)}\n`),
    );
  });
}

async function answer(client: Lister, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://discovery");
  const discover = discoverers[url.pathname.slice(1) as Role] as Discover | undefined;
  if (discover === undefined)
    return send(response, 404, "text/plain", `Cannot discover ${url.pathname}: wanted /pod, /node or /endpointslice\n`);
  const wanted = url.searchParams.getAll("namespace");
  const groups = await discover(client);
  const found = groups.filter(
    ({ labels }) => wanted.length === 0 || wanted.includes(labels["__meta_kubernetes_namespace"] ?? ""),
  );
  send(response, 200, "application/json", JSON.stringify(found));
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
}
