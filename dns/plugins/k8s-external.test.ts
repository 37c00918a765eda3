/** k8s_external: outside addresses of Services, while they have some. */
import assert from "node:assert/strict";
import test from "node:test";
import { PushedCluster } from "../cluster-source.ts";
import { named, port, service } from "../fixture.ts";
import { answersOf, serveCorefile } from "../plugin-fixture.ts";

const corefile = `. {
  k8s_external example.org {
    ttl 9
    apex infra
    fallthrough other.example.org
  }
  hosts {
    192.0.2.9 a.other.example.org
    fallthrough
  }
  kubernetes cluster.local
}
`;

function web(externalIPs: readonly string[], loadBalancerIPs: readonly string[] = []): ReturnType<typeof named> {
  const ports = [port("http", 80), port("", 81)];
  return named([service("web", { clusterIPs: ["10.0.0.1"], ports, externalIPs, loadBalancerIPs })]);
}

test("k8s_external has the outside addresses of a Service, by family, once each, as they change", async (t) => {
  const cluster = new PushedCluster();
  cluster.isSynced = true;
  cluster.apply(web(["192.0.2.1", "2001:db8::1"], ["192.0.2.1", "192.0.2.2"]), []);
  const block = await serveCorefile(t, corefile, { cluster });
  const name = "web.testns.example.org";
  const ask = async (query: string): Promise<readonly string[]> => answersOf(await block.ask(query));
  for (let times = 0; times < 3; times++) {
    assert.deepEqual(await ask(`${name} A`), [`${name} A 9 192.0.2.1`, `${name} A 9 192.0.2.2`]);
    assert.deepEqual(await ask(`${name} AAAA`), [`${name} AAAA 9 2001:db8::1`]);
  }
  const srv = await block.ask(`_http._tcp.${name} SRV`);
  assert.deepEqual(answersOf(srv), [`_http._tcp.${name} SRV 9 ${name}`]);
  assert.equal(srv?.additionals?.filter(({ type }) => type !== "OPT").length, 3);
  assert.equal((await ask(`${name} SRV`)).length, 2);
  cluster.apply(web(["192.0.2.7"]), []);
  assert.deepEqual(await ask(`${name} A`), [`${name} A 9 192.0.2.7`]);
  cluster.apply(web([]), []);
  assert.equal((await block.ask(`${name} A`))?.rcode, "NXDOMAIN");
});

test("k8s_external has an apex, fails until synced, and falls through where told", async (t) => {
  const cluster = new PushedCluster();
  const block = await serveCorefile(t, corefile, { cluster });
  assert.equal((await block.ask("web.testns.example.org A"))?.rcode, "SERVFAIL");
  cluster.isSynced = true;
  assert.equal((await block.ask("web.testns.example.org A"))?.rcode, "NXDOMAIN");
  assert.deepEqual(answersOf(await block.ask("example.org NS")), ["example.org NS 9 ns1.infra.example.org"]);
  assert.deepEqual(answersOf(await block.ask("example.org SOA")), ["example.org SOA 9 ns1.infra.example.org"]);
  for (const [name, rcode] of [
    ["infra", "NOERROR"],
    ["ns1.infra", "NOERROR"],
    ["ns2.infra", "NXDOMAIN"],
  ] as const)
    assert.equal((await block.ask(`${name}.example.org A`))?.rcode, rcode, name);
  assert.deepEqual(answersOf(await block.ask("a.other.example.org A")), ["a.other.example.org A 3600 192.0.2.9"]);
});

test("k8s_external refuses what it cannot mean", async (t) => {
  const options = { cluster: new PushedCluster() };
  const code = { code: "Corefile" };
  await assert.rejects(serveCorefile(t, ". {\n k8s_external a.test\n}", options), code);
  for (const bad of ["k8s_external 10.0.0.0/8", "k8s_external a.test {\n headless\n }"])
    await assert.rejects(serveCorefile(t, `. {\n ${bad}\n kubernetes cluster.local\n}`, options), code);
});
