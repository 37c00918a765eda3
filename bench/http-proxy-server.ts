/**
 * The npm package http-proxy as a reverse proxy, for the HTTP bench: what Node users have without an engine of their
 * own.
 *
 *   node bench/http-proxy-server.ts UPSTREAM PORT TLSPORT CERT KEY
 */
import { readFileSync } from "node:fs";
import { Agent, createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import httpProxy from "http-proxy";

const [upstream, port, tlsPort, cert = "", key = ""] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxFreeSockets: 2048 });
const proxy = httpProxy.createProxyServer({ target: `http://127.0.0.1:${upstream}`, agent });
// A downstream that leaves at the end of a run is no reason to end.
proxy.on("error", (_error, _request, response) => void response.destroy());
const backlog = 8192;
createServer((request, response) => proxy.web(request, response)).listen(Number(port), "127.0.0.1", backlog);
createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) =>
  proxy.web(request, response),
).listen(Number(tlsPort), "127.0.0.1", backlog);
