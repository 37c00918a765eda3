/**
 * The cluster DNS of a node, alone in a process, for the DNS benches.
 *
 *   COUNT Services (and an upstream's address, or nothing) ─▶ createDNS ─▶ `{"port": …}` on standard output
 */
import { createInterface } from "node:readline";
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

function service(index: number, clusterNet = 96): ServiceResource {
  const address = (base: number): string => `10.${base}.${(index >> 8) & 255}.${index & 255}`;
  return {
    ...plainPolicies,
    namespace: "default",
    name: `svc${index}`,
    clusterIPs: [address(clusterNet)],
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

const named = (index: number, clusterNet?: number): { name: string; resource: ServiceResource } => ({
  name: `default/svc${index}`,
  resource: service(index, clusterNet),
});
// In pieces, as a stream brings them.
for (let index = 0; index < Number(count); index += 500) {
  const last = Math.min(Number(count), index + 500);
  dns.apply(
    Array.from({ length: last - index }, (_, at) => named(index + at)),
    [],
  );
}
dns.markSynced();
const port = await dns.listen({ port: 0, address: "127.0.0.1" });
process.stdout.write(`${JSON.stringify({ port })}\n`);

/** `set I N` moves Service I to 10.N.…; `rss` tells the memory. */
for await (const line of createInterface({ input: process.stdin })) {
  const [word, index = "0", clusterNet] = line.split(" ");
  if (word === "set") dns.apply([named(Number(index), Number(clusterNet))], []);
  const result = word === "rss" ? { rss: process.memoryUsage.rss() } : { set: Number(index) };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
await dns.close();
