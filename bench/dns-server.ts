/**
 * The cluster DNS of a node, alone in a process, for dns.bench.ts.
 *
 *   COUNT Services (and an upstream's address, or nothing) ─▶ createDNS ─▶ `{"port": …}` on standard output
 */
import { plainPolicies, type ServiceResource } from "#api/wire/service.ts";
import { realClock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import { createDNS, nodeCorefile } from "../dns/state.ts";

const [count = "1000", upstream] = process.argv.slice(2);
const dns = createDNS({
  clock: realClock,
  log: createLogger("dns", "warn"),
  corefile: nodeCorefile({ upstreams: upstream === undefined ? [] : [upstream] }),
});

function service(index: number): ServiceResource {
  const address = (base: number): string => `10.${base}.${(index >> 8) & 255}.${index & 255}`;
  return {
    ...plainPolicies,
    namespace: "default",
    name: `svc${index}`,
    clusterIPs: [address(96)],
    headless: false,
    externalName: "",
    ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 0, appProtocol: "" }],
    publishNotReadyAddresses: false,
    endpoints: Array.from({ length: 5 }, (_, at) => ({
      address: address(200 + at),
      ports: { http: 8080 },
      ready: true,
      serving: true,
      terminating: false,
      hostname: "",
      nodeName: "node1",
      zone: "",
      podName: `svc${index}-${at}`,
      hintZones: [],
      hintNodes: [],
    })),
  };
}

const named = (index: number): { name: string; resource: ServiceResource } => ({
  name: `default/svc${index}`,
  resource: service(index),
});
dns.apply(
  Array.from({ length: Number(count) }, (_, index) => named(index)),
  [],
);
dns.markSynced();
const port = await dns.listen({ port: 0, address: "127.0.0.1" });
process.stdout.write(`${JSON.stringify({ port })}\n`);

/** `churn N` makes N changes a second; `rss` tells the memory. */
process.stdin.on("data", (line: Buffer) => {
  const [word, number] = line.toString("utf8").trim().split(" ");
  if (word === "churn") {
    let next = 0;
    setInterval(() => dns.apply([named(next++ % Number(count))], []), 1000 / Number(number));
  }
  if (word === "rss") process.stdout.write(`${JSON.stringify({ rss: process.memoryUsage.rss() })}\n`);
});
