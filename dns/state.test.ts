/** The DNS case table against the real server on loopback, asked with dns-packet and, where installed, dig. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import test from "node:test";
import { promisify } from "node:util";
import dnsPacket, { type Answer, type DecodedPacket } from "dns-packet";
import { ManualClock } from "#lib/clock.ts";
import { bindUDP, listenTCP, localAddress } from "#lib/linux.ts";
import { silentLogger } from "#lib/log.ts";
import { fixture, named, service } from "./fixture.ts";
import { createDNS, type DNS, nodeCorefile } from "./state.ts";
import { toKey } from "./wire/name.ts";

const soa = "cluster.local SOA 5";
const sv = "testns.svc.cluster.local";

/** Query → "RCODE | answers | authority | additional", records as name type ttl data. */
const cases: readonly (readonly [query: string, response: string])[] = [
  // 1. ClusterIP
  [`svc1.${sv} A`, `NOERROR aa | svc1.${sv} A 5 10.0.0.1`],
  [`svc1.${sv} AAAA`, `NOERROR aa | | ${soa}`],
  [`svc6.${sv} AAAA`, `NOERROR aa | svc6.${sv} AAAA 5 1234:abcd::1`],
  [`svc6.${sv} A`, `NOERROR aa | | ${soa}`],
  [`svcds.${sv} A`, `NOERROR aa | svcds.${sv} A 5 10.0.0.3`],
  [`svcds.${sv} AAAA`, `NOERROR aa | svcds.${sv} AAAA 5 10::3`],
  [`svcempty.${sv} A`, `NOERROR aa | svcempty.${sv} A 5 10.0.0.8`],
  [`svc0.${sv} AAAA`, `NXDOMAIN aa | | ${soa}`],
  ["svc1.hidden.svc.cluster.local A", `NXDOMAIN aa | | ${soa}`],
  ["not-a-svc.testns.svc.ClUsTeR.lOcAl A", "NXDOMAIN aa | | ClUsTeR.lOcAl SOA 5"],
  [`foo.svc1.${sv} A`, `NXDOMAIN aa | | ${soa}`],
  [`*.${sv} A`, `NXDOMAIN aa | | ${soa}`],
  [`SVC1.${sv} A`, `NOERROR aa | SVC1.${sv} A 5 10.0.0.1`],
  // 2. SRV
  [
    `_http._tcp.svc1.${sv} SRV`,
    `NOERROR aa | _http._tcp.svc1.${sv} SRV 5 0 100 80 svc1.${sv} | | svc1.${sv} A 5 10.0.0.1`,
  ],
  [`svc1.${sv} SRV`, `NOERROR aa | svc1.${sv} SRV 5 0 100 80 svc1.${sv} | | svc1.${sv} A 5 10.0.0.1`],
  [
    `_dns._udp.multi.${sv} SRV`,
    `NOERROR aa | _dns._udp.multi.${sv} SRV 5 0 100 53 multi.${sv} | | multi.${sv} A 5 10.0.0.9`,
  ],
  [`_https._tcp.svc1.${sv} SRV`, `NXDOMAIN aa | | ${soa}`],
  [`_http._udp.svc1.${sv} SRV`, `NXDOMAIN aa | | ${soa}`],
  [`_http._tcp.svcnp.${sv} SRV`, `NXDOMAIN aa | | ${soa}`],
  [`_http._tcp.ext.${sv} SRV`, `NXDOMAIN aa | | ${soa}`],
  [
    `_http._tcp.hdls.${sv} SRV`,
    "NOERROR aa | " +
      ["172-0-0-2", "172-0-0-3", "dup-name", "5678-abcd--1", "5678-abcd--2"]
        .map((name) => `_http._tcp.hdls.${sv} SRV 5 0 16 80 ${name}.hdls.${sv}`)
        .join(", ") +
      " | | " +
      [
        `172-0-0-2.hdls.${sv} A 5 172.0.0.2`,
        `172-0-0-3.hdls.${sv} A 5 172.0.0.3`,
        `dup-name.hdls.${sv} A 5 172.0.0.4`,
        `dup-name.hdls.${sv} A 5 172.0.0.5`,
        `5678-abcd--1.hdls.${sv} AAAA 5 5678:abcd::1`,
        `5678-abcd--2.hdls.${sv} AAAA 5 5678:abcd::2`,
      ].join(", "),
  ],
  // 3. Headless
  [`hdls.${sv} A`, `NOERROR aa | ${[2, 3, 4, 5].map((n) => `hdls.${sv} A 5 172.0.0.${n}`).join(", ")}`],
  [`hdls.${sv} AAAA`, `NOERROR aa | ${[1, 2].map((n) => `hdls.${sv} AAAA 5 5678:abcd::${n}`).join(", ")}`],
  [`172-0-0-2.hdls.${sv} A`, `NOERROR aa | 172-0-0-2.hdls.${sv} A 5 172.0.0.2`],
  [`172-0-0-2.hdls.${sv} AAAA`, `NOERROR aa | | ${soa}`],
  [`172-0-0-9.hdls.${sv} A`, `NXDOMAIN aa | | ${soa}`],
  [`hdnone.${sv} A`, `NXDOMAIN aa | | ${soa}`],
  [`hdnone.${sv} AAAA`, `NXDOMAIN aa | | ${soa}`],
  [`hdnr.${sv} A`, `NOERROR aa | hdnr.${sv} A 5 172.0.0.30`],
  [`hdnoport.${sv} A`, `NOERROR aa | hdnoport.${sv} A 5 172.0.0.20`],
  [`172-0-0-20.hdnoport.${sv} A`, `NOERROR aa | 172-0-0-20.hdnoport.${sv} A 5 172.0.0.20`],
  [`ep1a.svc1.${sv} A`, `NOERROR aa | ep1a.svc1.${sv} A 5 172.0.0.1`],
  // 4. ExternalName
  [`ext.${sv} A`, `NOERROR aa | ext.${sv} CNAME 5 ext.interwebs.test`],
  [`ext.${sv} CNAME`, `NOERROR aa | ext.${sv} CNAME 5 ext.interwebs.test`],
  [`ext2svc.${sv} A`, `NOERROR aa | ext2svc.${sv} CNAME 5 svc1.${sv}, svc1.${sv} A 5 10.0.0.1`],
  // 5. PTR
  ["1.0.0.10.in-addr.arpa PTR", `NOERROR aa | 1.0.0.10.in-addr.arpa PTR 5 svc1.${sv}`],
  ["4.0.0.172.in-addr.arpa PTR", `NOERROR aa | 4.0.0.172.in-addr.arpa PTR 5 dup-name.hdls.${sv}`],
  [`svc1.${sv} PTR`, `NOERROR aa | | ${soa}`],
  ["9.9.96.10.in-addr.arpa PTR", "NXDOMAIN aa | | 10.in-addr.arpa SOA 5"],
  // 7. Apex, empty non-terminals, other types
  ["cluster.local SOA", `NOERROR aa | ${soa}`],
  ["cluster.local A", `NOERROR aa | | ${soa}`],
  ["svc.cluster.local A", `NOERROR aa | | ${soa}`],
  ["pod.cluster.local A", `NOERROR aa | | ${soa}`],
  [`${sv} A`, `NOERROR aa | | ${soa}`],
  ["nsnone.svc.cluster.local A", `NXDOMAIN aa | | ${soa}`],
  ["nsnone.pod.cluster.local A", `NXDOMAIN aa | | ${soa}`],
  ["foo.cluster.local A", `NXDOMAIN aa | | ${soa}`],
  ["dns-version.cluster.local TXT", "NOERROR aa | dns-version.cluster.local TXT 28800 1.1.0"],
  ["ns.dns.cluster.local A", "NOERROR aa | ns.dns.cluster.local A 5 10.96.0.10"],
  ...["TXT", "MX", "SOA", "HINFO"].map((type) => [`svc1.${sv} ${type}`, `NOERROR aa | | ${soa}`] as const),
  // Search-path expansion, and names that are not ours
  [`example.com.${sv} A`, `NXDOMAIN aa | | ${soa}`],
  ["example.com A", "REFUSED"],
  ["notcluster.local A", "REFUSED"],
];

test("respond() follows the Kubernetes DNS case table", async (t) => {
  const { port } = await serve(t);
  for (const [query, response] of cases) assert.equal(format(await ask(port, query, { edns: 1232 })), response, query);
});

test("respond() ends alias loops", async (t) => {
  const { port } = await serve(t);
  const { answers, rcode } = await ask(port, `loop1.${sv} A`);
  assert.equal(rcode, "NOERROR");
  assert.equal(answers?.length, 10);
});

test("respond() fails for missing names until synced, and serves what it has", async (t) => {
  const { dns, port } = await serve(t, { synced: false });
  assert.equal((await ask(port, `svc0.${sv} A`)).rcode, "SERVFAIL");
  assert.equal((await ask(port, `svc1.${sv} A`)).rcode, "NOERROR");
  dns.markSynced();
  assert.equal((await ask(port, `svc0.${sv} A`)).rcode, "NXDOMAIN");
});

test("respond() tells namespaces that exist from those that do not, with and without Services", () => {
  const known = new Set(["testns", "empty"]);
  let isListed = true;
  const hasNamespace = (name: string): boolean | undefined => (isListed ? known.has(name) : undefined);
  const dns = createDNS({ clock: new ManualClock(), log: silentLogger, hasNamespace });
  dns.apply(named(fixture), []);
  dns.markSynced();
  const rcodesOf = (...names: readonly string[]): readonly string[] =>
    names.map((name) => {
      const response = dns.respond(encode(`${name}.cluster.local A`), "udp", "10.0.0.9", 1);
      assert.ok(Buffer.isBuffer(response));
      const { rcode, answers = [], authorities = [] } = dnsPacket.decode(response);
      assert.equal(authorities.length === 1, answers.length === 0, name);
      return rcode;
    });
  const every = ["testns.svc", "testns.pod", "empty.svc", "empty.pod", "10-1-2-3.empty.pod"];
  assert.deepEqual(rcodesOf(...every), Array(5).fill("NOERROR"));
  assert.deepEqual(rcodesOf("none.svc", "none.pod", "10-1-2-3.none.pod", "svc1.none.svc"), Array(4).fill("NXDOMAIN"));
  assert.deepEqual(rcodesOf("nope.testns.svc", "svc1.empty.svc", "nope.empty.pod"), Array(3).fill("NXDOMAIN"));
  // A namespace that is gone takes its own name with it, and one that was made has its name at once.
  known.delete("empty");
  known.add("new");
  assert.deepEqual(rcodesOf("empty.svc", "new.svc"), ["NXDOMAIN", "NOERROR"]);
  // Until they are listed, a namespace is where Services are.
  isListed = false;
  assert.deepEqual(rcodesOf("testns.svc", "new.svc"), ["NOERROR", "NXDOMAIN"]);
});

test("respond() sees a change at once and raises the serial", async (t) => {
  const { dns, port } = await serve(t);
  const serialOf = async (): Promise<number> => {
    const [answer] = (await ask(port, "cluster.local SOA")).answers ?? [];
    return answer?.type === "SOA" ? answer.data.serial : 0;
  };
  const before = await serialOf();
  dns.apply(named([service("new", { clusterIPs: ["10.0.0.99"] })]), ["testns/svc1"]);
  assert.equal((await ask(port, `new.${sv} A`)).rcode, "NOERROR");
  assert.equal((await ask(port, `svc1.${sv} A`)).rcode, "NXDOMAIN");
  assert.equal((await serialOf()) > before, true);
});

test("respond() cuts at the payload size over UDP and gives all over TCP", async (t) => {
  const { port } = await serve(t);
  const small = await ask(port, `big.${sv} A`);
  assert.equal(small.flag_tc, true);
  assert.equal((small.answers?.length ?? 0) > 10, true);
  const whole = await ask(port, `big.${sv} A`, { edns: 4096 });
  assert.equal(whole.flag_tc, false);
  assert.equal(whole.answers?.length, 60);
  const [first, second] = await askTCP(port, [`big.${sv} A`, `svc1.${sv} A`]);
  assert.equal(first?.answers?.length, 60);
  assert.equal(second?.answers?.length, 1);
});

test("respond() echoes EDNS and refuses other versions, opcodes and several questions", () => {
  const dns = make();
  const opt: Answer = { type: "OPT", name: ".", udpPayloadSize: 1400, flags: 0x8000, options: [] };
  const question = { type: "A" as const, name: `svc1.${sv}` };
  const send = (message: Buffer): DecodedPacket => {
    const response = dns.respond(message, "udp", "127.0.0.1", 1);
    assert.equal(Buffer.isBuffer(response), true);
    return dnsPacket.decode(response as Buffer);
  };
  const query = dnsPacket.encode({ type: "query", id: 7, flags: 0x100, questions: [question], additionals: [opt] });
  const echoed = send(query);
  const [own] = echoed.additionals ?? [];
  assert.equal(own?.type === "OPT" && own.udpPayloadSize === 1232 && own.flag_do, true);
  assert.equal(echoed.flag_rd, true);
  assert.equal(echoed.id, 7);
  const badVersion = Buffer.from(query);
  badVersion[badVersion.length - 5] = 1;
  const [bad] = send(badVersion).additionals ?? [];
  assert.equal(bad?.type === "OPT" && bad.extendedRcode, 1);
  const notify = Buffer.from(query);
  notify.writeUInt16BE(4 << 11, 2);
  assert.equal(send(notify).rcode, "NOTIMP");
  const two = dnsPacket.encode({ type: "query", questions: [question, question] });
  assert.equal(send(two).rcode, "FORMERR");
  assert.equal(send(query.subarray(0, 20)).rcode, "FORMERR");
  const looping = Buffer.concat([query.subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
  assert.equal(send(looping).rcode, "FORMERR");
  assert.equal(dns.respond(Buffer.from([1, 2, 3]), "udp", "", 0), undefined);
  const response = Buffer.from(query);
  response.writeUInt16BE(0x8000, 2);
  assert.equal(dns.respond(response, "udp", "", 0), undefined);
});

test("listen() bounds TCP connections", async (t) => {
  const { dns, port } = await serve(t, { connectionsMax: 1 });
  const first = connect(port, "127.0.0.1");
  t.after(() => first.destroy());
  await once(first, "connect");
  assert.equal((await askTCP(port, [`svc1.${sv} A`], first)).length, 1);
  const second = connect(port, "127.0.0.1");
  t.after(() => second.destroy());
  second.on("error", () => second.destroy());
  await once(second, "close");
  assert.equal(dns.counters.connectionsRefused, 1);
});

test("listen() serves descriptors that were bound by others", async (t) => {
  const at = { address: "127.0.0.1", port: 0 };
  const tcpFd = listenTCP(at);
  const { port } = localAddress(tcpFd);
  const dns = make();
  t.after(() => dns.close());
  assert.equal(await dns.listen({ tcpFd, udpFd: bindUDP({ ...at, port }) }), port);
  assert.equal((await ask(port, `svc1.${sv} A`)).rcode, "NOERROR");
  assert.equal((await askTCP(port, [`svc1.${sv} A`])).length, 1);
});

test("listen() serves every address of the Corefile alike", async (t) => {
  const corefile = nodeCorefile({ addresses: ["127.0.0.1", "127.0.0.2"] });
  const dns = createDNS({ clock: new ManualClock(), log: silentLogger, corefile });
  t.after(() => dns.close());
  dns.apply(named(fixture), []);
  await assert.rejects(dns.listen({ port: 0 }), { code: "CannotListen" });
  const tcpFd = listenTCP({ address: "127.0.0.2", port: 0 });
  const { port } = localAddress(tcpFd);
  const second = { tcpFd, udpFd: bindUDP({ address: "127.0.0.2", port }) };
  const first = await dns.listen({ address: "127.0.0.1", port: 0 }, second);
  assert.equal((await ask(first, `svc1.${sv} A`)).rcode, "NOERROR");
  assert.equal((await ask(port, `svc1.${sv} A`, { address: "127.0.0.2" })).rcode, "NOERROR");
});

test("listen() refuses a second call and a taken port", async (t) => {
  const { dns, port } = await serve(t);
  await assert.rejects(dns.listen({ port: 0 }), { code: "AlreadyListening" });
  await assert.rejects(make().listen({ port, address: "127.0.0.1" }), { code: "CannotListen" });
});

test("metrics count by CoreDNS' names", async (t) => {
  const { dns, port } = await serve(t);
  await ask(port, `svc1.${sv} A`);
  await ask(port, "example.com A");
  const text = dns.collect();
  const line = 'coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="udp",family="1",type="A"} 2';
  assert.equal(text.includes(line), true);
  assert.equal(text.includes('rcode="REFUSED",plugin=""} 1'), true);
});

test("dig understands the answers", async (t) => {
  const { port } = await serve(t);
  const run = promisify(execFile);
  const dig = async (...args: string[]): Promise<string> => {
    const options = ["@127.0.0.1", "-p", String(port), "+time=2", "+tries=1", "+short"];
    return (await run("dig", [...options, ...args])).stdout.trim();
  };
  try {
    await run("dig", ["-v"]);
  } catch {
    return t.skip("dig is not installed");
  }
  assert.equal(await dig(`svc1.${sv}`), "10.0.0.1");
  assert.equal(await dig("-x", "10.0.0.1"), `svc1.${sv}.`);
  assert.equal((await dig(`big.${sv}`)).split("\n").length, 60);
  assert.equal(await dig("+tcp", `_http._tcp.svc1.${sv}`, "SRV"), `0 100 80 svc1.${sv}.`);
});

interface Serving {
  readonly dns: DNS;
  readonly port: number;
}

function make(given: { readonly synced?: boolean; readonly connectionsMax?: number } = {}): DNS {
  const { connectionsMax = 10 } = given;
  const corefile = nodeCorefile({ zones: ["cluster.local", "10.0.0.0/8", "172.0.0.0/8"] }).replace(
    "  loadbalance\n",
    "",
  );
  const dns = createDNS({ clock: new ManualClock(), log: silentLogger, tcp: { connectionsMax }, corefile });
  dns.apply(named(fixture), []);
  if (given.synced !== false) dns.markSynced();
  return dns;
}

async function serve(t: test.TestContext, given: Parameters<typeof make>[0] = {}): Promise<Serving> {
  const dns = make(given);
  t.after(() => dns.close());
  return { dns, port: await dns.listen({ port: 0, address: "127.0.0.1" }) };
}

function encode(query: string, edns?: number): Buffer {
  const [name = "", type = ""] = query.split(" ");
  assert.notEqual(toKey(name), undefined);
  const opt: Answer = { type: "OPT", name: ".", udpPayloadSize: edns ?? 0, options: [] };
  const additionals = edns === undefined ? [] : [opt];
  return dnsPacket.encode({ type: "query", id: 1, questions: [{ name, type }], additionals });
}

async function ask(
  port: number,
  query: string,
  { edns, address = "127.0.0.1" }: { readonly edns?: number; readonly address?: string } = {},
): Promise<DecodedPacket> {
  const socket = createSocket("udp4");
  try {
    socket.send(encode(query, edns), port, address);
    const [message] = (await once(socket, "message", { signal: AbortSignal.timeout(5000) })) as [Buffer];
    return dnsPacket.decode(message);
  } finally {
    socket.close();
  }
}

/** Sends all queries in one write, then reads as many responses. */
async function askTCP(
  port: number,
  queries: readonly string[],
  given?: ReturnType<typeof connect>,
): Promise<DecodedPacket[]> {
  const socket = given ?? connect(port, "127.0.0.1");
  const frames = queries
    .map((query) => encode(query))
    .map((message) => Buffer.concat([Buffer.from([0, message.length]), message]));
  socket.write(Buffer.concat(frames));
  const found: DecodedPacket[] = [];
  let pending = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: given === undefined }) as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= pending.readUInt16BE(0) + 2) {
      const end = pending.readUInt16BE(0) + 2;
      found.push(dnsPacket.decode(pending.subarray(2, end)));
      pending = Buffer.from(pending.subarray(end));
    }
    if (found.length >= queries.length) break;
  }
  return found;
}

function format(packet: DecodedPacket): string {
  const head = packet.flag_aa ? `${packet.rcode} aa` : packet.rcode;
  const sections = [packet.answers, packet.authorities, packet.additionals].map((records) =>
    (records ?? [])
      .filter(({ type }) => type !== "OPT")
      .map(formatRecord)
      .join(", "),
  );
  while (sections.at(-1) === "") sections.pop();
  return [head, ...sections]
    .map((part) => (part === "" ? "" : ` ${part}`))
    .join(" |")
    .trim();
}

function formatRecord(record: Answer): string {
  if (record.type === "OPT") return "OPT";
  const head = `${record.name} ${record.type} ${"ttl" in record ? record.ttl : ""}`;
  if (record.type === "SOA") return head;
  if (record.type === "SRV") {
    const { priority, weight, port, target } = record.data;
    return `${head} ${priority} ${weight} ${port} ${target}`;
  }
  return `${head} ${String(record.data)}`;
}
