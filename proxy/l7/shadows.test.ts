/** Copies of requests within the limits of their clusters. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually, raw, startAnswering, startRig, startUpstream, staticCluster } from "./fixture.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = "GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
const action = { cluster: "c", request_mirror_policies: [{ cluster: "m" }] };
const routes = [{ match: { prefix: "/" }, route: action }];
const table = { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] };

describe("a copy", () => {
  for (const [name, threshold, copies] of [
    ["is one of its cluster's requests", { max_requests: 2 }, 2],
    ["is one of those that wait in its cluster", { max_pending_requests: 0 }, 0],
  ] as const)
    it(name, async () => {
      await using main = await startAnswering(ok);
      let answers = false;
      await using shadow = await startUpstream((socket) =>
        socket.on("data", () => (answers ? socket.end(ok) : undefined)),
      );
      const circuit_breakers = { thresholds: [threshold] };
      const clusters = [staticCluster("c", [main.port]), { ...staticCluster("m", [shadow.port]), circuit_breakers }];
      await using rig = await startRig({ routes: table, clusters });
      const limits = rig.cluster("m").limits.default;
      for (let each = 0; each < 5; each++) {
        assert.match(await raw(rig.port, get), / 200 /);
        await eventually(() => limits.used.pending === 0, "nobody waits");
      }
      const asked = (): number => shadow.received.filter((text) => text !== "").length;
      await eventually(() => asked() === copies, "the copies");
      assert.equal(limits.used.requests, copies);
      assert.equal(limits.overflows.requests + limits.overflows.pending, 5 - copies);
      // What they took is given back with their end.
      for (const socket of shadow.sockets) socket.end(ok);
      answers = true;
      await eventually(() => limits.used.requests === 0, "the end of the copies");
      assert.match(await raw(rig.port, get), / 200 /);
      if (copies > 0) await eventually(() => asked() === copies + 1, "one more copy");
      await eventually(() => limits.used.requests + limits.used.pending === 0, "the end of the last copy");
    });
});
