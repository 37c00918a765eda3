import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestHead } from "../http1/request.ts";
import { compileRoutes } from "./route.ts";

const get = (host: string): ReturnType<typeof parseRequestHead> =>
  parseRequestHead(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);

test("compileRoutes() takes the status for a cluster that does not exist, and lets its routes go live without it", () => {
  const table = compileRoutes({
    name: "r",
    virtual_hosts: [
      {
        name: "all",
        domains: ["*"],
        routes: [
          {
            match: { prefix: "/" },
            route: {
              weighted_clusters: {
                clusters: [
                  { name: "there", weight: 9 },
                  { name: "MissingBackend", weight: 1 },
                ],
              },
              cluster_not_found_response_code: "INTERNAL_SERVER_ERROR",
            },
          },
        ],
      },
    ],
  });
  assert.equal(table.find(get("a"))?.unknownCluster, 500);
  assert.deepEqual([...table.optionalClusters], ["there", "MissingBackend"]);
});

test("compileRoutes() compares hosts without their port when asked to, and with it otherwise", () => {
  const virtual_hosts = [
    { name: "shop", domains: ["shop.example"], routes: [{ match: { prefix: "/" }, route: { cluster: "shop" } }] },
  ];
  const strict = compileRoutes({ name: "r", virtual_hosts });
  const lenient = compileRoutes({ name: "r", virtual_hosts, ignore_port_in_host_matching: true });
  assert.equal(strict.find(get("shop.example:8080")), undefined);
  assert.notEqual(lenient.find(get("shop.example:8080")), undefined);
  assert.notEqual(lenient.find(get("shop.example")), undefined);
});
