/** From nft's words to netlink: what is compiled, and what is left to nft. */
import assert from "node:assert/strict";
import test from "node:test";
import { ElementCompiler } from "./compiler.ts";
import { parseLayout } from "./layout.ts";

const table = "ip wherry-proxy";
const slots = `${table} slots-tcp { typeof ip daddr . tcp dport . numgen inc mod 65536 : ip daddr . tcp dport ; }`;
const services = `${table} services { type ipv4_addr . inet_proto . inet_service : verdict ; }`;

function compilerOf(...declarations: readonly string[]): ElementCompiler {
  const compiler = new ElementCompiler();
  compiler.learn(`add table ${table}\n${declarations.join("\n")}\n`);
  return compiler;
}

test("an element is the bytes that the kernel reads", () => {
  const compiler = compilerOf(`add map ${slots}`);
  const text = `add element ${table} slots-tcp { 10.96.0.1 . 80 . 258 : 10.128.0.7 . 8080 }\n`;
  const bytes = compiler.compile(text)?.toString("hex");
  const expected = [
    "14000000 1000 0100 00000000 00000000 0000000a",
    "64000000 0c0a 0504 00000000 00000000 02000000",
    `1100 0100 ${Buffer.from("wherry-proxy\0\0\0\0").toString("hex")}`,
    `0e00 0200 ${Buffer.from("slots-tcp\0\0\0").toString("hex")}`,
    "2c00 0380 2800 0180",
    "1400 0180 1000 0100 0a600001 00500000 02010000",
    "1000 0280 0c00 0100 0a800007 1f900000",
    "14000000 1100 0100 00000000 00000000 0000000a",
  ];
  assert.equal(bytes, expected.join("").replaceAll(" ", ""));
});

test("many elements are several messages, none longer than an attribute can say", () => {
  const compiler = compilerOf(`add map ${services}`);
  const elements = Array.from({ length: 2000 }, (_, n) => `10.96.${n >> 8}.${n & 255} . tcp . 80 : goto random/2`);
  const bytes = compiler.compile(`add element ${table} services { ${elements.join(", ")} }\n`);
  assert.ok(bytes !== undefined);
  const types: number[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
    types.push(bytes.readUInt16LE(at + 4));
    assert.ok(bytes.readUInt32LE(at) < 65_536);
  }
  assert.deepEqual(types, [0x10, 0x0a0c, 0x0a0c, 0x11]);
});

test("what is more than elements of known collections is left to nft", () => {
  const compiler = compilerOf(`add map ${slots}`, `add map ${services}`);
  const element = `add element ${table} services { 10.96.0.1 . tcp . 80 : drop }`;
  assert.ok(compiler.compile(`${element}\n`) !== undefined);
  for (const other of [
    `add rule ${table} nat-output drop`,
    `add element ${table} unheard { 10.96.0.1 }`,
    "add element ip other services { 10.96.0.1 . tcp . 80 : drop }",
    `flush map ${table} services`,
    "",
  ])
    assert.equal(compiler.compile(`${element}\n${other}\n${element}\n`), undefined, other);
});

test("what does not fit its type is left to nft, which says why", () => {
  const compiler = compilerOf(`add map ${slots}`, `add map ${services}`);
  const isCompiled = (collection: string, words: string, verb = "add"): boolean =>
    compiler.compile(`${verb} element ${table} ${collection} { ${words} }\n`) !== undefined;
  assert.equal(isCompiled("slots-tcp", "10.96.0.1 . 80 . 1", "delete"), true);
  for (const words of [
    "10.96.0.1 . 80 : 10.128.0.1 . 80",
    "10.96.0.1 . 80 . 1 . 2 : 10.128.0.1 . 80",
    "10.96.0.1 . 80 . 65536 : 10.128.0.1 . 80",
    "10.96.0.1 . 65536 . 1 : 10.128.0.1 . 80",
    "10.96.0.256 . 80 . 1 : 10.128.0.1 . 80",
    "10.96.0 . 80 . 1 : 10.128.0.1 . 80",
    "10.96.0.1.2 . 80 . 1 : 10.128.0.1 . 80",
    "fd00::1 . 80 . 1 : 10.128.0.1 . 80",
    "10.96.0.1 . http . 1 : 10.128.0.1 . 80",
    "10.96.0.1 .  . 1 : 10.128.0.1 . 80",
    "10.96.0.1 . 80 . 1",
    "10.96.0.1 . 80 . 1 : drop",
    "10.96.0.1 . 80 . 1 timeout 4s : 10.128.0.1 . 80",
  ])
    assert.equal(isCompiled("slots-tcp", words), false, words);
  for (const words of [
    "10.96.0.1 . icmp . 80 : drop",
    "10.96.0.1 . tcp . 80 : goto",
    "10.96.0.1 . tcp . 80 : drop all",
    "10.96.0.1 . tcp . 80 : queue",
    `10.96.0.1 . tcp . 80 : goto ${"x".repeat(300)}`,
  ])
    assert.equal(isCompiled("services", words), false, words);
});

test("a transaction that no socket takes is left to nft", () => {
  const compiler = compilerOf(`add map ${slots}`);
  const elements = Array.from({ length: 6000 }, (_, n) => `10.96.0.1 . 80 . ${n} : 10.128.0.1 . 80`);
  assert.equal(compiler.compile(`add element ${table} slots-tcp { ${elements.join(", ")} }\n`), undefined);
});

test("a collection is known until it or its table is deleted, or it is declared otherwise", () => {
  const text = `add element ${table} services { 10.96.0.1 . tcp . 80 : drop }\n`;
  for (const [forgetting, isKnown] of [
    [`delete table ${table}`, false],
    [`add table ${table}\ndelete table ${table}\nadd table ${table}\nadd map ${services}`, true],
    [`delete set ${table} services`, false],
    [`delete set ${table} slots-tcp`, true],
    [`add set ${table} services { type ipv4_addr ; flags dynamic ; }`, false],
  ] as const) {
    const compiler = compilerOf(`add map ${services}`, `add map ${slots}`);
    compiler.learn(`${forgetting}\n`);
    assert.equal(compiler.compile(text) !== undefined, isKnown, forgetting);
  }
});

test("types with flags, and those that tables of ours do not have, have no layout", () => {
  assert.ok(parseLayout("type inet_proto . inet_service : verdict ;") !== undefined);
  assert.equal(parseLayout("type inet_proto ; flags timeout ;"), undefined);
  assert.equal(parseLayout("type mark : verdict ;"), undefined);
  assert.equal(parseLayout("type ipv4_addr : mark ;"), undefined);
  assert.equal(parseLayout(""), undefined);
});
