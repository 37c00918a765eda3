/**
 * Writes which cases of the corpora Envoy forwards into envoy-answers.json:
 * WHERRY_ENVOY=…/envoy node test/http/record.ts && oxfmt test/http
 *
 *   requestCases, responseCases ─▶ Envoy, HTTP/1 on both sides ─▶ names of what it forwards, sorted
 *
 * Forwarded is what has Envoy's mark of an upstream's answer and is whole. A case without any answer counts as refused
 * after `patienceMs`.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startUpstream } from "../../proxy/l7/fixture.ts";
import { findEnvoy, startEnvoy } from "../envoy/proxies.ts";
import { requestCases } from "./request-cases.ts";
import { responseCases } from "./response-cases.ts";
import { readResponseByLLHTTP } from "./response-parsers.ts";

const patienceMs = 500;
const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const types = "type.googleapis.com/envoy.extensions.filters";

const binary = findEnvoy();
if (binary === undefined) throw new Error("Cannot record: no Envoy, wanted WHERRY_ENVOY or envoy on the PATH");

let said = "";
const upstream = await startUpstream((socket: Socket) => {
  socket.on("end", () => socket.end());
  // A moment later, so that the whole request is there.
  socket.once("data", () => setTimeout(() => socket.end(said, "latin1"), 20));
});
const folder = mkdtempSync(join(tmpdir(), "wherry-corpora-"));
const envoy = await startEnvoy(binary, bootstrap(upstream.port), folder);
const port = envoy.ports.get("corpora") ?? 0;

const requests: string[] = [];
said = answer;
for (const { origin, name, bytes } of requestCases)
  if (await isForwarded(bytes, "GET")) requests.push(`${origin}: ${name}`);
const responses: string[] = [];
for (const { origin, name, bytes, method } of responseCases) {
  said = bytes;
  if (await isForwarded(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`, method)) responses.push(`${origin}: ${name}`);
}
await envoy.stop();
await upstream[Symbol.asyncDispose]();
rmSync(folder, { recursive: true });
const found = { requests: requests.sort(), responses: responses.sort() };
writeFileSync(join(import.meta.dirname, "envoy-answers.json"), `${JSON.stringify(found, undefined, 1)}\n`);
process.stdout.write(`${requests.length} requests, ${responses.length} responses forwarded\n`);

async function isForwarded(bytes: string, method: string): Promise<boolean> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.on("error", () => socket.destroy());
  socket.write(Buffer.from(bytes, "latin1"));
  const over = Promise.race([once(socket, "end"), once(socket, "close")]).catch(() => undefined);
  await Promise.race([over, sleep(patienceMs)]);
  socket.destroy();
  if (!/\r\nx-envoy-upstream-service-time: /.test(text)) return false;
  return (await readResponseByLLHTTP(text, method)).isWhole;
}

function bootstrap(upstreamPort: number): Record<string, unknown> {
  const address = (at: number): object => ({ socket_address: { address: "127.0.0.1", port_value: at } });
  const route = { match: { prefix: "/" }, route: { cluster: "up" } };
  const manager = {
    "@type": `${types}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "corpora",
    codec_type: "HTTP1",
    // As we do.
    http_protocol_options: { accept_http_10: true, default_host_for_http_10: "a" },
    route_config: { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    http_filters: [{ name: "router", typed_config: { "@type": `${types}.http.router.v3.Router` } }],
  };
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }];
  const filters = [{ name: "http", typed_config: manager }];
  return {
    admin: { address: address(0) },
    static_resources: {
      listeners: [{ name: "corpora", address: address(0), filter_chains: [{ filters }] }],
      clusters: [{ name: "up", type: "STATIC", load_assignment: { cluster_name: "up", endpoints } }],
    },
  };
}
