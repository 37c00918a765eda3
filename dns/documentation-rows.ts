/**
 * What CoreDNS' own documentation shows of each plugin (the Examples of plugin/NAME/README.md at 4b26cced3), re-derived
 * with names, addresses and an upstream of the test's own: a Corefile, and what is asked and said. Only tests import
 * this. `UPSTREAM` is a resolver that knows `*.outside.test` (192.0.2.1) and nothing else.
 */
import type { Answer, DecodedPacket } from "dns-packet";

/** `name TYPE` from an address → `RCODE answers`, one answer as `TYPE data`; `-` where nothing is sent. */
export type Ask = readonly [query: string, response: string, client?: string];

export interface Row {
  readonly plugin: string;
  readonly corefile: string;
  readonly asks: readonly Ask[];
}

const svc = "svc1.testns.svc.cluster.local";
const known = ["a.outside.test A", "NOERROR A 192.0.2.1"] as const;
const row = (plugin: string, corefile: string, ...asks: readonly Ask[]): Row => ({ plugin, corefile, asks });
/** A block of the root with an upstream, and these lines. */
const around = (...lines: readonly string[]): string => `. {\n${lines.join("\n")}\nforward . UPSTREAM\n}\n`;

const zoneText = [
  "@ 3600 IN SOA ns host 7 7200 3600 1209600 3600",
  "  3600 IN NS ns",
  "ns  IN A 192.0.2.53",
  "www IN A 192.0.2.10",
  "    IN AAAA 2001:db8::10",
].join("\n");

export const files: Readonly<Record<string, string>> = {
  "db.example.org": zoneText,
  "zones/db.example.org": zoneText,
  "example.hosts": "192.0.2.20 a.example.org\n192.0.2.21 b.example.net\n",
  weights: "www.example.org\n192.0.2.10 3\n",
  "my-resolv.conf": "search one.outside.test two.test\n",
  "cert.pem": "certificate",
  "key.pem": "key",
  "ca.pem": "authority",
};

export const rows: readonly Row[] = [
  row(
    "acl",
    around("acl {", "block type A net 192.168.0.0/16", "}"),
    ["a.outside.test A", "REFUSED", "192.168.7.7"],
    known,
  ),
  row("acl", around("acl {", "filter type A net 192.168.0.0/16", "}"), ["a.outside.test A", "NOERROR", "192.168.7.7"]),
  row(
    "acl",
    around("acl {", "allow net 192.168.1.0/24", "block net 192.168.0.0/16", "}"),
    ["a.outside.test A", "NOERROR A 192.0.2.1", "192.168.1.1"],
    ["a.outside.test A", "REFUSED", "192.168.2.1"],
  ),
  row("acl", around("acl a.outside.test {", "block net 192.168.1.0/24", "}"), [
    "a.outside.test A",
    "REFUSED",
    "192.168.1.9",
  ]),
  row("acl", around("acl {", "drop net 192.0.2.0/24", "}"), ["a.outside.test A", "-", "192.0.2.9"], known),
  row("any", "example.org {\nwhoami\nany\n}\n", ["example.org ANY", "NOERROR HINFO ANY obsoleted"]),
  row("auto", "org {\nauto {\ndirectory zones db\\.(.*) {1}\nreload 45s\n}\ntransfer {\nto *\nto 192.0.2.1\n}\n}\n", [
    "www.example.org A",
    "NOERROR A 192.0.2.10",
  ]),
  row("autopath", around("autopath my-resolv.conf"), ["b.c.one.outside.test A", "NOERROR A 192.0.2.1"]),
  row("autopath", `. {\nautopath @kubernetes\nkubernetes cluster.local {\npods verified\n}\n}\n`, [
    `${svc} A`,
    "NOERROR A 10.0.0.1",
  ]),
  row("bind", `. {\nbind 127.0.0.1 ::1\nhosts example.hosts\n}\n`, ["a.example.org A", "NOERROR A 192.0.2.20"]),
  row("bind", `. {\nbind eth9 {\nexcept 192.0.2.2\n}\nhosts example.hosts\n}\n`, [
    "a.example.org A",
    "NOERROR A 192.0.2.20",
  ]),
  row("bufsize", around("bufsize 1100", "log"), known),
  row("cache", `. {\ncache 10\nwhoami\n}\n`, ["example.org A", "NOERROR"]),
  row("cache", around("cache outside.test"), known, known),
  row("cache", around("cache {", "success 5000", "denial 2500", "disable denial sub.example.org", "}"), known, known),
  row("cancel", "example.org {\ncancel 1s\nwhoami\n}\n", ["example.org A", "NOERROR"]),
  row("debug", around("debug"), known),
  row("dns64", around("dns64 64:1337::/96", "hosts {", "192.0.2.5 v4.test", "fallthrough", "}"), [
    "v4.test AAAA",
    "NOERROR AAAA 64:1337::c000:205",
    "fd00::1",
  ]),
  row(
    "dns64",
    around("dns64 {", "allow_ipv4", "translate_all", "}", "hosts {", "192.0.2.5 v4.test", "fallthrough", "}"),
    ["v4.test AAAA", "NOERROR AAAA 64:ff9b::c000:205"],
  ),
  row(
    "errors",
    around("errors {", 'consolidate 5m ".* i/o timeout$" warning show_first', 'consolidate 30s "^Failed to .+"', "}"),
    known,
  ),
  row(
    "file",
    "example.org {\nfile db.example.org\n}\n",
    ["www.example.org A", "NOERROR A 192.0.2.10"],
    ["www.example.org AAAA", "NOERROR AAAA 2001:db8::10"],
    ["nope.example.org A", "NXDOMAIN"],
  ),
  row("file", ". {\nfile db.example.org example.org example.net\n}\n", ["www.example.net A", "NOERROR A 192.0.2.10"]),
  row("forward", "outside.test {\nforward . UPSTREAM\n}\n", known, ["other.test A", "REFUSED"]),
  row(
    "forward",
    ". {\ncache\nforward lab.outside.test UPSTREAM\nforward outside.test UPSTREAM\nforward . UPSTREAM\n}\n",
    known,
    ["b.lab.outside.test A", "NOERROR A 192.0.2.1"],
  ),
  row("forward", ". {\nforward . UPSTREAM {\nexcept example.org\n}\n}\n", ["www.example.org A", "SERVFAIL"], known),
  row(
    "forward",
    ". {\nforward . tls://192.0.2.9 {\ntls_servername dns.test\nhealth_check 5s domain example.org\n}\n}\n",
  ),
  row("forward", ". {\nforward . https://192.0.2.9 {\ntls_servername dns.test\nhealth_check 5s\n}\ncache 30\n}\n"),
  row("forward", ". {\nforward . UPSTREAM {\nnext NXDOMAIN\n}\nforward . UPSTREAM\n}\n", known, [
    "nobody.test A",
    "NXDOMAIN",
  ]),
  row("forward", ". {\nforward . UPSTREAM {\npolicy sequential\nfailover SERVFAIL REFUSED\n}\n}\n", known),
  row("health", around("health localhost:8092 {", "lameduck 1s", "}"), known),
  row("hosts", around("hosts example.hosts"), ["nobody.test A", "SERVFAIL"], ["a.example.org TXT", "NOERROR"]),
  row("hosts", ". {\nhosts example.hosts\n}\n", ["a.example.org A", "NOERROR A 192.0.2.20"]),
  row(
    "hosts",
    around("hosts example.hosts example.org {", "fallthrough", "}"),
    ["b.example.net A", "NXDOMAIN"],
    ["20.2.0.192.in-addr.arpa PTR", "NOERROR PTR a.example.org"],
    known,
  ),
  row(
    "hosts",
    around(
      "hosts example.hosts example.com {",
      "192.0.2.30 *.example.com",
      "192.0.2.31 www.example.com",
      "fallthrough",
      "}",
    ),
    ["www.example.com A", "NOERROR A 192.0.2.31"],
    ["app.example.com A", "NOERROR A 192.0.2.30"],
    ["app.example.com AAAA", "NOERROR"],
    ["deep.app.example.com A", "NXDOMAIN"],
    ["example.com A", "NXDOMAIN"],
  ),
  row(
    "kubernetes",
    "10.0.0.0/17 cluster.local {\nkubernetes {\npods verified\n}\n}\n",
    [`${svc} A`, "NOERROR A 10.0.0.1"],
    ["1.0.0.10.in-addr.arpa PTR", `NOERROR PTR ${svc}`],
  ),
  row("kubernetes", ". {\nkubernetes cluster.local {\nnamespaces test staging\n}\n}\n", [`${svc} A`, "NXDOMAIN"]),
  row(
    "kubernetes",
    "cluster.local:53 {\nkubernetes cluster.local\n}\noutside.test {\nforward . UPSTREAM\n}\n. {\nforward . UPSTREAM\n}\n",
    [`${svc} A`, "NOERROR A 10.0.0.1"],
    known,
  ),
  row("k8s_external", ". {\nk8s_external example.org\nkubernetes cluster.local\n}\n", [
    "svc1.testns.example.org A",
    "NXDOMAIN",
  ]),
  row("loadbalance", around("loadbalance round_robin {", "prefer 192.0.2.0/24", "}"), known),
  row(
    "loadbalance",
    "example.org {\nfile db.example.org {\nreload 10s\n}\nloadbalance weighted weights {\nreload 10s\n}\n}\n",
    ["www.example.org A", "NOERROR A 192.0.2.10"],
  ),
  row("log", ". {\nlog\nwhoami\n}\n", ["example.org A", "NOERROR"]),
  row("log", around('log . "{proto} Request: {name} {type} {>id}"'), known),
  row("log", around("log . {combined} {", "class denial error", "}"), known),
  row("loop", ". {\nloop\nforward . UPSTREAM\n}\n", known),
  row("metadata", around("metadata"), known),
  row("minimal", "outside.test {\nwhoami\nforward . UPSTREAM\nminimal\n}\n", known),
  row("nsid", "example.org {\nwhoami\nnsid Use The Force\n}\n", ["example.org A", "NOERROR"]),
  row("prometheus", around("prometheus localhost:9253"), known),
  row("ready", around("ready localhost:8091"), known),
  row("reload", around("reload 10s"), known),
  row("rewrite", around("rewrite name old.test a.outside.test"), ["old.test A", "NOERROR A 192.0.2.1"]),
  row("rewrite", around("rewrite stop {", "name suffix .old.test .outside.test answer auto", "}"), [
    "a.old.test A",
    "NOERROR A 192.0.2.1",
  ]),
  row(
    "rewrite",
    `. {
rewrite stop {
name suffix .arpa .arpa
answer name auto
answer value (.*)\\.service\\.consul\\. {1}.example.org.
}
hosts {
192.0.2.40 ftp.service.consul
}
}
`,
    ["40.2.0.192.in-addr.arpa PTR", "NOERROR PTR ftp.example.org"],
  ),
  row("rewrite", ". {\nrewrite edns0 local set 0xffee 0x61626364\nwhoami\n}\n", ["example.org A", "NOERROR"]),
  row("rewrite", around("rewrite ttl exact a.outside.test. 30-"), known),
  row("rewrite", around("rewrite rcode suffix .test. NXDOMAIN NOERROR"), ["nobody.test A", "NOERROR"]),
  row("template", ". {\ntemplate ANY ANY {\nrcode NXDOMAIN\n}\n}\n", ["example.org A", "NXDOMAIN"]),
  row(
    "template",
    around(
      "template ANY ANY invalid {",
      "rcode NXDOMAIN",
      'authority "invalid. 60 {{ .Class }} SOA ns.invalid. host.invalid. (1 60 60 60 60)"',
      'ederror 21 "Not supported here"',
      "}",
    ),
    ["a.invalid A", "NXDOMAIN EDE 21 Not supported here"],
    known,
  ),
  row(
    "template",
    around(
      "template IN A example {",
      "match (^|[.])ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]$",
      'answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"',
      "fallthrough",
      "}",
    ),
    ["ip-192-0-2-7.example A", "NOERROR A 192.0.2.7"],
    ["other.example A", "NXDOMAIN"],
  ),
  row(
    "template",
    around(
      "template IN A example {",
      'match "^ip0a(?P<b>[a-f0-9]{2})(?P<c>[a-f0-9]{2})(?P<d>[a-f0-9]{2})[.]example[.]$"',
      'answer "{{ .Name }} 60 IN A 10.{{ parseInt .Group.b 16 8 }}.{{ parseInt .Group.c 16 8 }}.{{ parseInt .Group.d 16 8 }}"',
      "fallthrough",
      "}",
    ),
    ["ip0a01ff10.example A", "NOERROR A 10.1.255.16"],
  ),
  row("tls", "tls://.:5553 {\ntls cert.pem key.pem ca.pem\nforward . UPSTREAM\n}\n", known),
  row("transfer", "example.org {\nfile db.example.org\ntransfer {\nto * 192.0.2.1\n}\n}\n", [
    "www.example.org A",
    "NOERROR A 192.0.2.10",
  ]),
  row(
    "view",
    `. {
view inside {
expr incidr(client_ip(), '127.0.0.0/24')
}
hosts {
192.0.2.1 test
}
}
. {
view v6 {
expr incidr(client_ip(), '2001:0DB8::/32')
}
hosts {
2001:0DB8::1 test
}
}
. {
hosts {
192.0.2.3 test
}
}
`,
    ["test A", "NOERROR A 192.0.2.1", "127.0.0.9"],
    ["test AAAA", "NOERROR AAAA 2001:db8::1", "2001:db8::77"],
    ["test A", "NOERROR A 192.0.2.3"],
  ),
  row("whoami", "example.org {\nwhoami\n}\n", ["example.org A", "NOERROR + A 10.9.9.9, SRV 4000"]),
];

function textOf(record: Answer): string {
  if (record.type === "OPT") return "";
  if (record.type === "SRV") return `SRV ${record.data.port}`;
  const { type, data } = record as { readonly type: string; readonly data: unknown };
  return type === "HINFO" ? `HINFO ${(data as { readonly cpu: string }).cpu}` : `${type} ${String(data)}`;
}

/** As `Ask` has it. */
export function formatResponse(packet: DecodedPacket | undefined, showsMore: boolean): string {
  if (packet === undefined) return "-";
  const { rcode, answers = [], additionals = [] } = packet;
  const sent = answers.filter((record) => record.type !== "CNAME").map(textOf);
  const [opt] = additionals.filter(({ type }) => type === "OPT");
  const options = opt?.type === "OPT" ? (opt.options as readonly { code: number; data: Buffer }[]) : [];
  const errors = options
    .filter(({ code }) => code === 15)
    .map(({ data }) => `EDE ${data.readUInt16BE(0)} ${String(data.subarray(2))}`);
  const own = additionals.filter(({ type }) => type !== "OPT").map(textOf);
  const more = showsMore ? [`+ ${own.join(", ")}`] : [];
  return [rcode, ...sent, ...errors, ...more].join(" ");
}
