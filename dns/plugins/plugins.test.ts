/** Each small plugin by its Corefile: text in, answers out. */
import assert from "node:assert/strict";
import test from "node:test";
import { PushedCluster } from "../cluster-source.ts";
import { endpoint, named, service } from "../fixture.ts";
import { answersOf, serveCorefile, startUpstream } from "../plugin-fixture.ts";

const zoneFile = `
$TTL 300
@       IN SOA ns hostmaster ( 2026010101 7200 1800 86400 60 ) ; the apex
        IN NS  ns
ns      IN A   192.0.2.53
www     600 IN A 192.0.2.80
        IN AAAA 2001:db8::80
alias   IN CNAME www
out     IN CNAME www.outside.test.
*.wild  IN A   192.0.2.99
txt     IN TXT "two words" more
sub     IN NS  ns.sub
ns.sub  IN A   192.0.2.54
deep.a.b IN A  192.0.2.1
srv     IN SRV 1 2 443 www
`;

test("hosts answers from its lines and files, and leaves other names", async (t) => {
  const corefile = ". {\n  hosts h {\n    192.0.2.2 inline.test\n    ttl 60\n    fallthrough\n  }\n  any\n}";
  const block = await serveCorefile(t, corefile, {
    files: { h: "192.0.2.1 a.test b.test # c\n::1 a.test\nnonsense\n" },
  });
  assert.deepEqual(answersOf(await block.ask("A.test A")), ["A.test A 60 192.0.2.1"]);
  assert.deepEqual(answersOf(await block.ask("a.test AAAA")), ["a.test AAAA 60 ::1"]);
  assert.deepEqual(answersOf(await block.ask("inline.test A")), ["inline.test A 60 192.0.2.2"]);
  assert.equal((await block.ask("b.test AAAA"))?.rcode, "NOERROR");
  assert.deepEqual(
    answersOf(await block.ask("1.2.0.192.in-addr.arpa PTR")).map((line) => line.split(" ").at(-1)),
    ["a.test", "b.test"],
  );
  assert.equal((await block.ask("c.test A"))?.rcode, "SERVFAIL");
  assert.match(block.metrics(), /coredns_hosts_entries 3/);
});

test("file serves a zone: aliases, wildcards, delegations, empty names, negatives", async (t) => {
  const upstream = await startUpstream(t);
  const corefile = `. {\n  file zone example.org\n  forward . 127.0.0.1:${upstream.port}\n}`;
  const block = await serveCorefile(t, corefile, { files: { zone: zoneFile } });
  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ["www.example.org A", "NOERROR", ["www.example.org A 600 192.0.2.80"]],
    [
      "alias.example.org A",
      "NOERROR",
      ["alias.example.org CNAME 300 www.example.org", "www.example.org A 600 192.0.2.80"],
    ],
    ["out.example.org A", "NOERROR", ["out.example.org CNAME 300 www.outside.test", "www.outside.test A 60 192.0.2.1"]],
    ["x.wild.example.org A", "NOERROR", ["x.wild.example.org A 300 192.0.2.99"]],
    ["srv.example.org SRV", "NOERROR", ["srv.example.org SRV 300 www.example.org"]],
    ["a.b.example.org A", "NOERROR", []],
    ["www.example.org MX", "NOERROR", []],
    ["nope.example.org A", "NXDOMAIN", []],
    ["x.sub.example.org A", "NOERROR", []],
  ];
  for (const [query, rcode, answers] of cases) {
    const packet = await block.ask(query);
    assert.equal(packet?.rcode, rcode, query);
    assert.deepEqual(answersOf(packet), answers, query);
  }
  const negative = await block.ask("nope.example.org A");
  assert.equal(negative?.flag_aa, true);
  assert.equal(negative?.authorities?.[0]?.type === "SOA" && negative.authorities[0].ttl, 60);
  const referral = await block.ask("x.sub.example.org A");
  assert.equal(referral?.flag_aa, false);
  assert.equal(referral?.authorities?.[0]?.type, "NS");
});

test("file refuses what is no zone, with file and line", async (t) => {
  const options = { files: { zone: "@ IN SOA ns host 1 2 3 4 5\nwww IN A not-an-address\n" } };
  await assert.rejects(serveCorefile(t, ". {\n  file zone example.org\n}", options), {
    message: 'Cannot read zone:2: "www IN A not-an-address", wanted a record',
  });
});

test("rewrite asks another name and turns the answer back", async (t) => {
  const corefile = `. {
  rewrite stop {
    name regex (.*)\\.in\\.test {1}.outside.test
    answer name (.*)\\.outside\\.test {1}.in.test
  }
  rewrite name exact a.test b.outside.test
  rewrite ttl suffix .short.test 5
  template IN A {
    answer "{{ .Name }} 60 IN A 192.0.2.1"
  }
}`;
  const block = await serveCorefile(t, corefile);
  assert.deepEqual(answersOf(await block.ask("x.in.test A")), ["x.in.test A 60 192.0.2.1"]);
  assert.deepEqual(answersOf(await block.ask("a.test A")), ["a.test A 60 192.0.2.1"]);
  assert.deepEqual(answersOf(await block.ask("x.short.test A")), ["x.short.test A 5 192.0.2.1"]);
});

test("template fills in what matched, and falls through", async (t) => {
  const corefile = `. {
  template IN A ip.test {
    match "^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]ip[.]test[.]$"
    answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ index .Match 2 }}"
    fallthrough
  }
  template IN ANY ip.test {
    rcode NXDOMAIN
    authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} host.{{ .Zone }} (1 60 60 60 60)"
  }
}`;
  const block = await serveCorefile(t, corefile.replace("(1 60 60 60 60)", "1 60 60 60 60"));
  assert.deepEqual(answersOf(await block.ask("ip-3-4.ip.test A")), ["ip-3-4.ip.test A 60 10.0.3.4"]);
  const negative = await block.ask("x.ip.test A");
  assert.equal(negative?.rcode, "NXDOMAIN");
  assert.equal(negative?.authorities?.[0]?.type, "SOA");
});

test("acl allows, blocks, filters and drops by address and type", async (t) => {
  const corefile = `. {
  acl {
    allow net 10.1.0.0/16
    drop net 10.2.0.0/16
    filter type AAAA
    block net 10.0.0.0/8
  }
  template IN A {
    answer "{{ .Name }} 60 IN A 192.0.2.1"
  }
}`;
  const block = await serveCorefile(t, corefile);
  assert.equal(answersOf(await block.ask("a.test A", { client: "10.1.1.1" })).length, 1);
  assert.equal(await block.ask("a.test A", { client: "10.2.1.1" }), undefined);
  assert.equal((await block.ask("a.test AAAA", { client: "10.3.1.1" }))?.rcode, "NOERROR");
  assert.equal((await block.ask("a.test A", { client: "10.3.1.1" }))?.rcode, "REFUSED");
  assert.equal(answersOf(await block.ask("a.test A", { client: "192.0.2.9" })).length, 1);
});

test("acl knows link-local addresses, which say on which interface they are", async (t) => {
  const corefile = ". {\n  acl {\n    block net fe80::/10\n  }\n  hosts {\n    192.0.2.1 a.test\n  }\n}";
  const block = await serveCorefile(t, corefile);
  assert.equal((await block.ask("a.test A", { client: "fe80::1%eth0" }))?.rcode, "REFUSED");
  assert.equal((await block.ask("a.test A", { client: "2001:db8::1" }))?.rcode, "NOERROR");
});

test("view picks the block by its expression", async (t) => {
  const corefile = `. {
  view inner {
    expr incidr(client_ip(), '10.0.0.0/8') && not (type() in ['TXT'] || name() endsWith '.bad.')
  }
  template IN A {
    answer "{{ .Name }} 60 IN A 192.0.2.1"
  }
}
. {
  template IN ANY . {
    rcode NXDOMAIN
  }
}`;
  const block = await serveCorefile(t, corefile);
  assert.equal((await block.ask("a.test A", { client: "10.1.1.1" }))?.rcode, "NOERROR");
  assert.equal((await block.ask("a.bad A", { client: "10.1.1.1" }))?.rcode, "NXDOMAIN");
  assert.equal((await block.ask("a.test A", { client: "192.0.2.1" }))?.rcode, "NXDOMAIN");
});

test("dns64 makes AAAA of A", async (t) => {
  const block = await serveCorefile(
    t,
    ". {\n  dns64\n  hosts {\n    192.0.2.33 a.test\n    2001:db8::1 b.test\n  }\n}",
  );
  const asked = { client: "2001:db8::9" };
  assert.deepEqual(answersOf(await block.ask("a.test AAAA", asked)), ["a.test AAAA 600 64:ff9b::c000:221"]);
  assert.deepEqual(answersOf(await block.ask("b.test AAAA", asked)), ["b.test AAAA 3600 2001:db8::1"]);
  assert.equal(answersOf(await block.ask("a.test AAAA", { client: "10.0.0.1" })).length, 0);
});

test("any, minimal and bufsize shape answers", async (t) => {
  const cluster = new PushedCluster();
  cluster.apply(named([service("svc1", { clusterIPs: ["10.0.0.1"] })]), []);
  cluster.isSynced = true;
  const many = Array.from({ length: 80 }, (_, index) => `    10.1.0.${index} many.test`).join("\n");
  const corefile = `. {\n  any\n  minimal\n  bufsize 700\n  hosts {\n${many}\n    fallthrough\n  }\n  kubernetes cluster.local\n}`;
  const block = await serveCorefile(t, corefile, { cluster });
  assert.equal((await block.ask("a.test ANY"))?.answers?.[0]?.type, "HINFO");
  const srv = await block.ask("svc1.testns.svc.cluster.local SRV");
  assert.equal(srv?.answers?.length, 1);
  assert.equal(srv?.additionals?.length, 0);
  const cut = await block.ask("many.test A", { edns: 4096 });
  assert.equal(cut?.flag_tc, true);
  assert.ok((cut?.answers?.length ?? 0) > 35 && (cut?.answers?.length ?? 0) < 43);
});

test("autopath walks the search list of a pod, and of nobody else", async (t) => {
  const upstream = await startUpstream(t);
  const cluster = new PushedCluster();
  const pod = endpoint("10.244.0.7", { podName: "client-1" });
  cluster.apply(named([service("client", { clusterIPs: ["10.96.0.1"], endpoints: [pod] })]), []);
  cluster.isSynced = true;
  const corefile = `. {\n  autopath @kubernetes\n  kubernetes cluster.local\n  forward . 127.0.0.1:${upstream.port}\n}`;
  const block = await serveCorefile(t, corefile, { cluster });
  const query = "www.outside.test.testns.svc.cluster.local A";
  assert.deepEqual(answersOf(await block.ask(query, { client: "10.244.0.7" })), [
    "www.outside.test.testns.svc.cluster.local CNAME 60 www.outside.test",
    "www.outside.test A 60 192.0.2.1",
  ]);
  assert.equal((await block.ask(query, { client: "10.244.0.8" }))?.rcode, "NXDOMAIN");
  assert.equal((await block.ask("nope.testns.svc.cluster.local A", { client: "10.244.0.7" }))?.rcode, "NXDOMAIN");
});

test("kubernetes follows ExternalName to upstreams, with TC, and ends loops between the two", async (t) => {
  const upstream = await startUpstream(t);
  const cluster = new PushedCluster();
  cluster.apply(
    named([
      service("ext", { externalName: "www.outside.test", ports: [] }),
      service("gone", { externalName: "nope.test", ports: [] }),
      service("back", { externalName: "alias.test", ports: [] }),
    ]),
    [],
  );
  cluster.isSynced = true;
  const corefile = `. {
  rewrite name exact alias.test back.testns.svc.cluster.local
  kubernetes cluster.local
  forward . 127.0.0.1:${upstream.port}
}`;
  const block = await serveCorefile(t, corefile, { cluster });
  const sv = "testns.svc.cluster.local";
  assert.deepEqual(answersOf(await block.ask(`ext.${sv} A`)), [
    `ext.${sv} CNAME 5 www.outside.test`,
    "www.outside.test A 60 192.0.2.1",
  ]);
  assert.deepEqual(answersOf(await block.ask(`gone.${sv} A`)), [`gone.${sv} CNAME 5 nope.test`]);
  assert.ok(answersOf(await block.ask(`back.${sv} A`)).length <= 12);
});

test("kubernetes has pods as told, and options for names of endpoints", async (t) => {
  const cluster = new PushedCluster({
    namespaceOfPod: (address) => (address === "10.240.0.1" ? "testns" : undefined),
  });
  const ready = endpoint("10.240.0.1", { podName: "web-0" });
  cluster.apply(
    named([
      service("hd", { headless: true, endpoints: [ready] }),
      service("empty", { clusterIPs: ["10.0.0.8"], endpoints: [endpoint("10.240.0.9", { ready: false })] }),
      service("hidden", { namespace: "hidden", clusterIPs: ["10.0.0.9"] }),
    ]),
    [],
  );
  cluster.isSynced = true;
  const serve = (options: string): ReturnType<typeof serveCorefile> =>
    serveCorefile(t, `. {\n  kubernetes cluster.local in-addr.arpa {\n    ${options}\n  }\n}`, { cluster });
  const rcodeOf = async (block: Awaited<ReturnType<typeof serveCorefile>>, query: string): Promise<string> => {
    const packet = await block.ask(query);
    return `${packet?.rcode} ${packet?.answers?.length}`;
  };
  const pod = (label: string, namespace: string): string => `${label}.${namespace}.pod.cluster.local A`;
  const insecure = await serve("pods insecure\n    endpoint_pod_names\n    ignore empty_service");
  assert.equal(await rcodeOf(insecure, pod("10-9-9-9", "testns")), "NOERROR 1");
  assert.equal(await rcodeOf(insecure, pod("10-9-9-9", "nsnone")), "NXDOMAIN 0");
  assert.equal(await rcodeOf(insecure, pod("nope", "testns")), "NXDOMAIN 0");
  assert.equal(await rcodeOf(insecure, "web-0.hd.testns.svc.cluster.local A"), "NOERROR 1");
  assert.equal(await rcodeOf(insecure, "empty.testns.svc.cluster.local A"), "NXDOMAIN 0");
  assert.equal(await rcodeOf(insecure, "http.tcp.hd.testns.svc.cluster.local SRV"), "NOERROR 1");
  assert.equal(await rcodeOf(insecure, "cluster.local NS"), "NOERROR 1");
  const verified = await serve("pods verified\n    namespaces testns\n    ttl 30");
  assert.equal(await rcodeOf(verified, pod("10-240-0-1", "testns")), "NOERROR 1");
  assert.equal(await rcodeOf(verified, pod("10-9-9-9", "testns")), "NXDOMAIN 0");
  assert.equal(await rcodeOf(verified, "hidden.hidden.svc.cluster.local A"), "NXDOMAIN 0");
  assert.equal(await rcodeOf(verified, "10-240-0-1.hd.testns.svc.cluster.local A"), "NOERROR 1");
  assert.equal(await rcodeOf(verified, "1.0.240.10.in-addr.arpa PTR"), "NOERROR 1");
  const plain = await serve("noendpoints");
  assert.equal(await rcodeOf(plain, pod("10-9-9-9", "testns")), "NXDOMAIN 0");
  assert.equal(await rcodeOf(plain, "hd.testns.svc.cluster.local A"), "NXDOMAIN 0");
});

test("health, ready and prometheus show their pages", async (t) => {
  const cluster = new PushedCluster();
  const corefile =
    ". {\n  health 127.0.0.1:0 {\n    lameduck 1s\n  }\n  ready\n  prometheus\n  kubernetes cluster.local\n}";
  const block = await serveCorefile(t, corefile, { cluster });
  const page = (address: string, path: string): unknown => block.http.byAddress.get(address)?.get(path)?.();
  assert.deepEqual(page("127.0.0.1:0", "/health"), { status: 200, body: "OK" });
  assert.deepEqual(page(":8181", "/ready"), { status: 503, body: "kubernetes" });
  cluster.isSynced = true;
  assert.deepEqual(page(":8181", "/ready"), { status: 200, body: "OK" });
  assert.ok(block.http.byAddress.get("127.0.0.1:9153")?.has("/metrics"));
  assert.match(block.metrics(), /coredns_plugin_enabled\{server="dns:\/\/:53",zone="\.",view="",name="kubernetes"\} 1/);
});

test("errors and log write lines, in CoreDNS' form", async (t) => {
  const corefile = ". {\n  errors\n  log . {\n    class denial\n  }\n  hosts {\n    192.0.2.1 a.test\n  }\n}";
  const block = await serveCorefile(t, corefile);
  await block.ask("a.test A");
  assert.deepEqual(block.logged, []);
  await block.ask("a.test AAAA", { edns: 1232 });
  assert.match(
    block.logged[0] ?? "",
    /^10\.9\.9\.9:4000 - 1 "AAAA IN a\.test\. udp \d+ false 1232" NOERROR qr,aa,rd \d+ [0-9.]+s$/,
  );
  await block.ask("b.test A");
  assert.match(block.logged.at(-1) ?? "", /^hosts failed for b\.test\. A$/);
});
