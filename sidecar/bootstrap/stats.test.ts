/** Statistics of a stand-alone sidecar whose requests are under way, tried again and given up. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { RawClient, eventually, raw, refusedPort, startUpstream, staticCluster } from "#proxy/l7/fixture.ts";
import { type Standalone, startStandalone } from "./fixture.ts";

const get = (path: string, more = ""): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${more}\r\n`;
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/** The value of one statistic; undefined where there is none. */
async function valueOf(standalone: Standalone, name: string): Promise<number | undefined> {
  const { text } = await standalone.page("/stats");
  const line = text.split("\n").find((one) => one.startsWith(`${name}: `));
  return line === undefined ? undefined : Number(line.slice(name.length + 2));
}

const faults = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const abort = { header_abort: {}, percentage: { numerator: 100 } };

for (const filters of [[], [{ name: "fault", typed_config: { "@type": faults, abort } }]])
  test(`/stats shows requests under way, with ${filters.length} filters`, async () => {
    const held: Socket[] = [];
    await using upstream = await startUpstream((socket) => {
      socket.on("data", () => held.push(socket)).on("end", () => socket.destroy());
    });
    const http_filters = [...filters, { name: "router", typed_config: { "@type": router } }];
    const clusters = [staticCluster("up", [upstream.port]), staticCluster("none", [await refusedPort()])];
    const routes = [
      { match: { path: "/none" }, route: { cluster: "none" } },
      { match: { path: "/direct" }, direct_response: { status: 200 } },
      { match: { prefix: "/" }, route: { cluster: "up" } },
    ];
    await using standalone = await startStandalone({ clusters, routes, manager: { http_filters } });
    const name = "http.x.downstream_rq_active";
    assert.equal(await valueOf(standalone, name), 0);
    const [answered, leaving] = [new RawClient(standalone.port), new RawClient(standalone.port)];
    for (const [at, client] of [answered, leaving].entries()) {
      client.send(get("/"));
      await eventually(() => held.length === at + 1, "request at the upstream");
    }
    assert.equal(await valueOf(standalone, name), 2);
    held[0]!.write(ok);
    await answered.over();
    leaving.close();
    await eventually(() => held[1]!.destroyed, "what nobody waits for is given up");
    // Those that end here, in each of the places where a request may.
    for (const text of [
      get("/none"),
      get("/direct"),
      get("/direct", "x-envoy-fault-abort-request: 400\r\n"),
      "bad\r\n\r\n",
    ])
      assert.match(await raw(standalone.port, text), /^HTTP\/1\.1 /);
    assert.equal(await valueOf(standalone, name), 0);
  });

test("/stats counts what gRPC was sent, and for its cluster what was wrong", async () => {
  const clusters = [staticCluster("none", [await refusedPort()])];
  const routes = [{ match: { prefix: "/" }, route: { cluster: "none" } }];
  await using standalone = await startStandalone({ clusters, routes });
  const answer = await raw(standalone.port, get("/", "Content-Type: application/grpc\r\n"));
  assert.match(answer, /^HTTP\/1\.1 200 .*grpc-status: 14\r\n/s);
  for (const [name, value] of [
    ["http.x.downstream_rq_2xx", 1],
    ["http.x.downstream_rq_5xx", 0],
    ["cluster.none.upstream_rq_503", 1],
  ] as const)
    assert.equal((await valueOf(standalone, name)) ?? 0, value, name);
});

test("/stats counts retries that succeed, those that are used up, and tries whose time passed", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.on("data", (chunk: Buffer) => {
      const path = chunk.toString("latin1").split(" ")[1];
      if (path === "/slow") return;
      const isRetry = chunk.includes("x-envoy-attempt-count: 2");
      socket.write(path === "/good" || (path === "/second" && isRetry) ? ok : busy);
    });
    socket.on("end", () => socket.end());
  });
  const retry_policy = { retry_on: "5xx", num_retries: 2, retry_back_off: { base_interval: "0.001s" } };
  const per = { ...retry_policy, num_retries: 1, per_try_timeout: "0.1s" };
  const routes = [
    { match: { path: "/slow" }, route: { cluster: "up", retry_policy: per } },
    { match: { prefix: "/" }, route: { cluster: "up", retry_policy } },
  ];
  const route_config = {
    virtual_hosts: [{ name: "v", domains: ["*"], routes, include_request_attempt_count: true }],
  };
  const clusters = [staticCluster("up", [upstream.port])];
  await using standalone = await startStandalone({ clusters, manager: { route_config } });
  const counts = async (): Promise<readonly (number | undefined)[]> =>
    Promise.all(
      ["rq_retry", "rq_retry_success", "rq_retry_limit_exceeded", "rq_per_try_timeout", "rq_timeout"].map(
        async (name) => valueOf(standalone, `cluster.up.upstream_${name}`),
      ),
    );
  for (const [path, status, wanted] of [
    ["", 0, [0, 0, 0, 0, 0]],
    ["/good", 200, [0, 0, 0, 0, 0]],
    ["/second", 200, [1, 1, 0, 0, 0]],
    ["/never", 503, [3, 1, 1, 0, 0]],
    ["/slow", 504, [4, 1, 2, 2, 0]],
  ] as const) {
    if (path !== "") assert.match(await raw(standalone.port, get(path)), new RegExp(`^HTTP/1.1 ${status} `));
    assert.deepEqual(await counts(), wanted, path);
  }
});
