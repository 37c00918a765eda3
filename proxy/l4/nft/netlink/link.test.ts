/** Compiled transactions in the kernel, beside what nft makes of the same words, in a network namespace of their own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

/** Runs a script that has `run(text)` and `nft(…arguments)`, and returns what it passes to `tell`. */
function inside(script: string): unknown {
  const whole = `
    import { spawnSync } from "node:child_process";
    import { ElementCompiler } from "${import.meta.dirname}/compiler.ts";
    import { NetlinkLink } from "${import.meta.dirname}/link.ts";
    const [compiler, link] = [new ElementCompiler(), new NetlinkLink()];
    const nft = (text) => spawnSync("nft", ["-f", "-"], { input: text, encoding: "utf8" }).stderr;
    const list = (table) => spawnSync("nft", ["list", "table", ...table.split(" ")], { encoding: "utf8" }).stdout;
    const declare = (text) => { const said = nft(text); if (said !== "") throw new Error(said); compiler.learn(text); };
    const run = (text) => link.run(compiler.compile(text) ?? (() => { throw new Error("not compiled: " + text); })());
    const tell = (value) => process.stdout.write(JSON.stringify(value));
    ${script}`;
  const node = [process.execPath, "--input-type=module-typescript", "-e", whole];
  const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const command = ["--user", "--map-root-user", "--net", ...node];
  const { stdout, stderr } = spawnSync("unshare", command, { encoding: "utf8", env, timeout: 30_000 });
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}

function declarations(family: "ip" | "ip6", table: string): string {
  const address = family === "ip" ? "ipv4_addr" : "ipv6_addr";
  const slot = "numgen inc mod 65536";
  const collections = [
    ...["tcp", "udp", "sctp"].map((transport) => {
      const data = `${family} daddr . ${transport} dport`;
      return `map ${family} ${table} slots-${transport} { typeof ${data} . ${slot} : ${data} ; }`;
    }),
    `map ${family} ${table} nodeport-slots { typeof tcp dport . ${slot} : ${family} daddr . tcp dport ; }`,
    `map ${family} ${table} services { type ${address} . inet_proto . inet_service : verdict ; }`,
    `map ${family} ${table} nodeports { type inet_proto . inet_service : verdict ; }`,
    `set ${family} ${table} hairpin { type ${address} . ${address} ; }`,
    `set ${family} ${table} cluster-ips { type ${address} ; }`,
  ];
  return [`table ${family} ${table}`, `chain ${family} ${table} there`, ...collections]
    .map((each) => `add ${each}\n`)
    .join("");
}

const elements = (family: "ip" | "ip6", table: string): string => {
  const [vip, pod] = family === "ip" ? ["10.96.255.1", "10.128.0.254"] : ["fd00:96::1", "fd00:128::abcd:1"];
  return [
    ...["tcp", "udp", "sctp"].map(
      (transport) =>
        `add element ${family} ${table} slots-${transport} ` +
        `{ ${vip} . 80 . 0 : ${pod} . 8080, ${vip} . 80 . 32769 : ${pod} . 1 }`,
    ),
    `add element ${family} ${table} nodeport-slots { 30080 . 7 : ${pod} . 65535 }`,
    `add element ${family} ${table} services { ${vip} . tcp . 80 : goto there, ${vip} . sctp . 9 : drop }`,
    `add element ${family} ${table} services { ${vip} . udp . 53 : accept }`,
    `add element ${family} ${table} nodeports { tcp . 30080 : jump there, udp . 1 : return }`,
    `add element ${family} ${table} hairpin { ${pod} . ${pod} }`,
    `add element ${family} ${table} cluster-ips { ${vip}, ${pod} }`,
    `delete element ${family} ${table} slots-tcp { ${vip} . 80 . 0 }`,
    `add element ${family} ${table} slots-tcp { ${vip} . 80 . 0 : ${pod} . 8081 }`,
    `delete element ${family} ${table} cluster-ips { ${pod} }`,
    "",
  ].join("\n");
};

for (const family of ["ip", "ip6"] as const)
  test(`elements that are compiled are those that nft makes: ${family}`, () => {
    const script = `
      declare(${JSON.stringify(declarations(family, "ours") + declarations(family, "nfts"))});
      const said = nft(${JSON.stringify(elements(family, "nfts"))});
      const done = await run(${JSON.stringify(elements(family, "ours"))});
      tell({ said, done, ours: list("${family} ours"), nfts: list("${family} nfts") });`;
    const { said, done, ours, nfts } = inside(script) as Record<"said" | "ours" | "nfts", string> & { done: boolean };
    assert.equal(said, "");
    assert.equal(done, true);
    assert.match(ours, /goto there/);
    assert.equal(ours, nfts.replace(`table ${family} nfts`, `table ${family} ours`));
  });

test("a transaction is committed whole or not at all, and the next is none the worse", () => {
  const statement = (verb: string, words: string): string => `${verb} element ip t services { ${words} }\n`;
  const added = statement("add", "10.96.0.1 . tcp . 80 : drop");
  const texts = [
    added + statement("delete", "10.96.0.9 . tcp . 80"),
    added + statement("add", "10.96.0.2 . tcp . 80 : goto nowhere"),
    added,
    statement("add", "10.96.0.1 . tcp . 80 : accept"),
    statement("delete", "10.96.0.1 . tcp . 80") + statement("add", "10.96.0.1 . tcp . 80 : accept"),
  ];
  const script = `
    declare(${JSON.stringify(declarations("ip", "t"))});
    const all = [];
    for (const text of ${JSON.stringify(texts)})
      all.push([await run(text), list("ip t").match(/10.96.0.1 . tcp . 80 : \\w+/)?.[0] ?? ""]);
    tell(all);`;
  assert.deepEqual(inside(script), [
    [false, ""],
    [false, ""],
    [true, "10.96.0.1 . tcp . 80 : drop"],
    [false, "10.96.0.1 . tcp . 80 : drop"],
    [true, "10.96.0.1 . tcp . 80 : accept"],
  ]);
});

test("transactions as large as a socket takes, at once, are committed in order", () => {
  const script = `
    declare(${JSON.stringify(declarations("ip", "t"))});
    const texts = Array.from({ length: 12 }, (_, turn) => "add element ip t cluster-ips { " +
      Array.from({ length: 5000 }, (_, n) => "10." + turn + "." + (n >> 8) + "." + (n & 255)).join(", ") + " }\\n");
    const undone = Array.from({ length: 12 }, (_, turn) => "delete element ip t cluster-ips { 10." + turn + ".0.1 }\\n");
    const done = await Promise.all([...texts, ...undone].map(run));
    tell([done.every(Boolean), list("ip t").match(/10\\.\\d+\\.\\d+\\.\\d+/g).length]);`;
  assert.deepEqual(inside(script), [true, 12 * 4999]);
});
