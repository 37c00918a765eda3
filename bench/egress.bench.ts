/**
 * What does TCP to outside the cluster cost: connections a second and bytes a second to an echo on the host's loopback,
 * from a pod without and with a sidecar, and from the host itself in the same run?
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { createTestCluster, runCommand } from "../test/e2e/cluster.ts";
import type { Measured } from "./measured.ts";

const connections = 2000;
const bytes = 500_000_000;
const host = "100.64.255.253";
const script = join(import.meta.dirname, "..", "test", "e2e", "egress-client.ts");

const pod = (name: string, labels: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {${labels}}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: wherry.dev/pause}]}
`;

export async function run(): Promise<readonly Measured[]> {
  // In a process of its own: it must not share a core's turn with the client that is measured here.
  const source =
    'require("net").createServer({ allowHalfOpen: true }, (s) => { s.on("error", () => s.destroy()); s.pipe(s); })' +
    '.listen({ port: +process.argv[1], host: "127.0.0.1", backlog: 4096 })';
  const port = await freePort();
  const echo = spawn(process.execPath, ["-e", source, String(port)], { stdio: "ignore" });
  try {
    await using cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "1", "--allow-host-port", String(port));
    const file = join(cluster.stateHome, "pods.yaml");
    writeFileSync(file, [pod("plain", ""), pod("meshed", 'sidecar.istio.io/inject: "true"')].join("---"));
    await cluster.run("apply", "-f", file);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const inside = (name: string, ...args: string[]): Promise<string> =>
      cluster.run("sh", "--pod", name, "--", process.execPath, script, host, String(port), ...args);
    const direct = async (...args: string[]): Promise<string> =>
      (await runCommand([process.execPath, script, "127.0.0.1", String(port), ...args])).stdout;
    return [
      await measure("the host itself", direct),
      await measure("a pod", (...args) => inside("plain", ...args)),
      await measure("a pod with a sidecar", (...args) => inside("meshed", ...args)),
    ].flat();
  } finally {
    echo.kill("SIGKILL");
  }
}

async function measure(who: string, client: (...args: string[]) => Promise<string>): Promise<readonly Measured[]> {
  const rate = Math.round(connections / (await seconds(() => client("connections", String(connections)))));
  const speed = Math.round(bytes / 1e6 / (await seconds(() => client("bytes", String(bytes)))));
  return [
    {
      question: `connections a second from ${who} to outside, start of the client included`,
      measured: `${rate}`,
      budget: "",
    },
    { question: `bytes a second both ways from ${who} to outside`, measured: `${speed} MB/s`, budget: "" },
  ];
}

async function seconds(action: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await action();
  return (performance.now() - startMs) / 1000;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
