/**
 * What leaves the cluster: TCP to a port of the host that was allowed, byte for byte, with and without a sidecar;
 * and what must not leave.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { refusedPort } from "#proxy/l7/fixture.ts";
import { createTestCluster, type TestCluster } from "./cluster.ts";

const node = process.execPath;
const script = join(import.meta.dirname, "egress-client.ts");
/** Stands for the host's loopback. */
const host = "100.64.255.253";

const nodes = ["node1", "node2"] as const;
const pod = (name: string, node: string, labels: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}-${node}, labels: {${labels}}}
spec: {nodeName: ${node}, terminationGracePeriodSeconds: 0, containers: [{name: main, image: wherry.dev/pause}]}
`;
const manifest = nodes
  .flatMap((node) => [pod("plain", node, "app: plain"), pod("meshed", node, 'sidecar.istio.io/inject: "true"')])
  .join("---");

/**
 * Connections at a time, half of them a node: 10,000, or what this user may have open. Each takes two descriptors of
 * every process on its way.
 */
const many = 2 * Math.floor(Math.min(10_000, openFilesMax() - 2048) / 2);

function openFilesMax(): number {
  const hard = /^Max open files +\S+ +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "";
  return hard === "unlimited" ? Infinity : Number(hard);
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

describe("egress", () => {
  let cluster: TestCluster;
  let echo: Server;
  /** The echo answers nobody before as many are connected. */
  let together = 1;
  const held: Socket[] = [];
  let port = 0;
  /** Allowed, and nobody listens there. */
  let silentPort = 0;
  /** Takes connections and resets them. */
  let resetting: Server;

  before(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => socket.destroy());
      held.push(socket);
      if (held.length >= together) for (const one of held.splice(0)) one.pipe(one);
    });
    await new Promise<void>((resolve) => echo.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, resolve));
    port = (echo.address() as AddressInfo).port;
    silentPort = await refusedPort();
    resetting = createServer((socket) => socket.resetAndDestroy());
    await new Promise<void>((resolve) => resetting.listen({ host: "127.0.0.1", port: 0 }, resolve));
    cluster = createTestCluster();
    const allowed = [port, silentPort, portOf(resetting)].flatMap((number) => ["--allow-host-port", String(number)]);
    await cluster.run("up", "--detach", "--nodes", "2", ...allowed);
    const file = join(cluster.stateHome, "pods.yaml");
    writeFileSync(file, manifest);
    await cluster.run("apply", "-f", file);
    for (const untilMs = performance.now() + 20_000; ;) {
      const pods = JSON.parse(await cluster.run("get", "pods", "-o", "json")) as {
        items: { status: { phase: string } }[];
      };
      if (pods.items.every(({ status }) => status.phase === "Running")) break;
      assert.ok(performance.now() < untilMs, "the pods never ran");
    }
  });

  after(async () => {
    echo.close();
    resetting.close();
    await cluster[Symbol.asyncDispose]();
  });

  const inside = async (where: readonly string[], ...args: readonly (string | number)[]): Promise<unknown> =>
    JSON.parse(await cluster.run("sh", ...where, "--", node, script, ...args.map(String)));
  const log = (): string =>
    readFileSync(join(cluster.stateHome, "wherry", cluster.name, "logs", "agent-node1.log"), "utf8");

  const places = (name: string): string[][] => nodes.map((node) => ["--pod", `${name}-${node}`]);

  for (const [what, where, connections, bytes] of [
    ["pods without sidecars", places("plain"), many, 1e9],
    ["pods with sidecars", places("meshed"), many, 1e9],
    ["the nodes themselves", nodes.map((node) => ["--node", node]), 100, 1e7],
  ] as const) {
    it(`carries ${connections} connections at a time from ${what}`, async () => {
      const each = connections / where.length;
      together = connections;
      try {
        const found = where.map((place) => inside(place, host, port, "connections", each));
        for (const one of await Promise.all(found)) assert.deepEqual(one, { connections: each, whole: each });
      } finally {
        together = 1;
      }
    });

    it(`carries ${bytes} bytes both ways from ${what}, with their end`, async () => {
      assert.deepEqual(await inside(where[0] ?? [], host, port, "bytes", bytes), { bytes, same: true });
    });
  }

  it("refuses at once, and logs, what is not to be reached", async () => {
    const cases = [
      [host, 1, /port 1 of the host is not allowed/],
      ["169.254.169.254", 80, /the address is link-local/],
    ] as const;
    for (const [address, to, reason] of cases) {
      const { how, ms } = (await inside(["--pod", "plain-node1"], address, to, "refused")) as {
        how: string;
        ms: number;
      };
      assert.equal(how, "ECONNRESET", address);
      assert.ok(ms < 2000, `${address} after ${ms} ms`);
      assert.match(log(), reason);
    }
  });

  it("keeps cluster addresses inside, allocated or not", async () => {
    const before = log().length;
    for (const [address, how] of [
      ["10.96.200.200", "ECONNREFUSED"],
      ["10.244.1.250", "EHOSTUNREACH|ENETUNREACH|ECONNREFUSED"],
      ["100.64.77.77", "EHOSTUNREACH|ENETUNREACH|ECONNREFUSED"],
    ] as const) {
      const found = (await inside(["--pod", "plain-node1"], address, 9, "refused")) as { how: string; ms: number };
      assert.match(found.how, new RegExp(`^(${how})$`), address);
      assert.ok(found.ms < 2000, `${address} after ${found.ms} ms`);
    }
    assert.doesNotMatch(log().slice(before), /Egress refused/);
  });

  for (const pod of ["plain-node1", "meshed-node1"])
    it(`hands a reset of the other side on to pod ${pod}`, async () => {
      const found = (await inside(["--pod", pod], host, portOf(resetting), "refused")) as { how: string };
      assert.equal(found.how, "ECONNRESET");
    });

  it("refuses a port of the host that nobody listens on, as the host does", async () => {
    const found = (await inside(["--pod", "meshed-node1"], host, silentPort, "refused")) as { how: string };
    assert.equal(found.how, "ECONNRESET");
    assert.match(log(), /"reason":"ECONNREFUSED"/);
  });
});
