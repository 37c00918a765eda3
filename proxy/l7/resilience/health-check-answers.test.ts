/** HTTP health checks against upstreams that answer, with whatever body, through the whole engine. */
import assert from "node:assert/strict";
import { type RequestListener, createServer } from "node:http";
import { test } from "node:test";
import { eventually, listenOn, raw, routesTo, startRig, staticCluster } from "../fixture.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/** The status of a request, once `checks` checks were answered. */
async function statusBehind(answer: RequestListener, checks = 3): Promise<string> {
  let seen = 0;
  const server = createServer((request, response) => {
    if (request.url !== "/healthz") return void response.end("served");
    seen++;
    answer(request, response);
  });
  const port = await listenOn(server);
  const http_health_check = { path: "/healthz" };
  const cluster = {
    ...staticCluster("up", [port]),
    common_lb_config: { healthy_panic_threshold: { value: 0 } },
    health_checks: [
      { timeout: "5s", interval: "0.01s", unhealthy_threshold: 1, healthy_threshold: 1, http_health_check },
    ],
  };
  try {
    await using rig = await startRig({ routes: routesTo("up"), clusters: [cluster] });
    await eventually(() => seen >= checks, "checks");
    return (await raw(rig.port, get)).slice(9, 12);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const answers: readonly (readonly [string, RequestListener, string])[] = [
  ["no body", (_, response) => response.writeHead(200).end(), "200"],
  ["a short body", (_, response) => response.end("fine"), "200"],
  ["a long body", (_, response) => response.end(Buffer.alloc(1_000_000, "x")), "200"],
  ["a body that does not end", (_, response) => void response.write("still"), "200"],
  ["500 and a body", (_, response) => response.writeHead(500).end("not fine"), "503"],
];

for (const [what, answer, status] of answers)
  test(`an upstream that answers its check with ${what} gets ${status}`, async () => {
    assert.equal(await statusBehind(answer), status);
  });
