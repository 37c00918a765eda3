/**
 * A pod that a policy isolates is isolated from its first instant: somebody knocks at every address that it may get
 * while it starts, and it calls out with its first instruction. Perl, because it takes 2 ms to start.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pods } from "#api/core/pod.ts";
import { realClock as clock } from "#lib/clock.ts";
import { createTestCluster } from "./cluster.ts";

const pod = (name: string, app: string, more: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${app}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: wherry.dev/pause${more}}]
---`;
/** Listens at once. */
const listener = "my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 50) or die $!;";
const perl = (script: string): string => `, command: [perl, -MIO::Socket::INET, -e, ${JSON.stringify(script)}]`;
const open = perl(`${listener} 1 while $s->accept;`);
/** Calls \`open\` at once, and says who answers. */
const isolated = (address: string): string =>
  perl(
    `$| = 1; ${listener} my $c = IO::Socket::INET->new(PeerHost => '${address}', PeerPort => 8080, Timeout => 1); ` +
      "print $c ? 'reached' : 'alone'; 1 while $s->accept;",
  );
const deny = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {matchLabels: {app: isolated}}, policyTypes: [Ingress, Egress]}
`;
/** Addresses of the node's pods that are knocked at, the last byte. */
const lastByteMax = 40;
/** Tries each address of the node anew, as soon as it has answered or after 30 ms. Says once each that it reached. */
const knocker = `
  const { connect } = require("node:net");
  const knock = (host) => {
    const socket = connect({ host, port: 8080 });
    let timer = setTimeout(() => socket.destroy(), 30);
    socket.on("connect", () => { console.log(host); timer = undefined; socket.destroy(); });
    socket.on("error", () => {});
    socket.on("close", () => timer !== undefined && setTimeout(knock, 3, host));
  };
  for (let last = 2; last <= ${lastByteMax}; last++) knock(process.argv[1] + last);
`;

test("pods of a default-deny policy are never reached and reach nobody, from their first instant", async () => {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach", "--nodes", "1");
  const client = cluster.connect();
  await using _ = { [Symbol.asyncDispose]: () => client.close() };
  const apply = async (text: string): Promise<void> => {
    const file = join(cluster.stateHome, "objects.yaml");
    writeFileSync(file, text);
    await cluster.run("apply", "-f", file);
  };
  const addressOf = async (name: string): Promise<string> =>
    (await client.get(pods, { namespace: "default", name })).status?.podIP ?? "";
  const until = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
    for (let tries = 0; !(await isSo()); tries++, await clock.sleep(50)) assert.ok(tries < 400, `${what}: not in time`);
  };
  const reached = async (): Promise<ReadonlySet<string>> =>
    new Set((await cluster.run("logs", "knocker")).split("\n").filter((line) => line !== ""));

  await apply(`${deny}---${pod("open", "open", open)}`);
  await until("the open pod has an address", async () => (await addressOf("open")) !== "");
  const prefix = (await addressOf("open")).replace(/\d+$/, "");
  await apply(pod("knocker", "knocker", `, command: [node, -e, ${JSON.stringify(knocker)}, ${prefix}]`));
  await until("the open pod is reached", async () => (await reached()).has(await addressOf("open")));
  const names = Array.from({ length: 20 }, (_, at) => `isolated-${at}`);
  const calls = isolated(await addressOf("open"));
  await apply(names.map((name) => pod(name, "isolated", calls)).join(""));
  const said = new Set<string>();
  for (const name of names) {
    let log = "";
    await until(`${name} tried`, async () => (log = (await cluster.attempt("logs", name)).stdout) !== "");
    said.add(log);
  }
  await apply(pod("last", "open", open));
  await until("the last pod is reached", async () => (await reached()).has(await addressOf("last")));

  const free = [await addressOf("open"), await addressOf("last")];
  assert.deepEqual([...(await reached())].sort(), free.sort(), "nobody else was reached");
  assert.deepEqual([...said], ["alone"], "none of them reached the open pod");
});
