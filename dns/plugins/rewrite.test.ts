/** rewrite: EDNS0 options for upstreams, and aliases that lead elsewhere. */
import assert from "node:assert/strict";
import test from "node:test";
import { parseQuery, type Query } from "../wire/query.ts";
import type { Request } from "../plugin.ts";
import { answersOf, encodeQuestion, reply, serveCorefile, startUpstream } from "../plugin-fixture.ts";
import { encodeUpstreamQuery } from "../upstream/exchange.ts";
import type { Directive } from "../corefile/directive.ts";
import { readOptionRule } from "./rewrite-edns.ts";

const directive: Directive = { name: "rewrite", args: [], block: undefined, at: "Corefile:2" };

function queryWith(options: readonly number[]): Query {
  const bytes = encodeQuestion("a.test AAAA", 1232);
  const withOptions = Buffer.concat([bytes.subarray(0, -2), Buffer.from([0, options.length, ...options])]);
  const query = parseQuery(withOptions);
  assert.ok(query.kind === "query");
  return query;
}

/** What the upstream gets after the rules, each `WORDS`: the options, in hexadecimal. */
function forwardedBy(rules: readonly string[], options: readonly number[] = [], client = "10.244.1.77"): string {
  let query = queryWith(options);
  const request: Request = { query, proto: "udp", client, clientPort: 4660, depth: 0 };
  for (const rule of rules) query = readOptionRule(directive, rule.split(" "))(query, request) ?? query;
  const sent = parseQuery(encodeUpstreamQuery(query, 1, query.name));
  assert.ok(sent.kind === "query");
  return Buffer.from(sent.options ?? []).toString("hex");
}

test("edns0 makes options of bytes, text, variables, and the client's subnet", () => {
  const cases: readonly (readonly [rule: string, sent: string])[] = [
    ["local set 0xffee 0x61626364", "ffee000461626364"],
    ["local set 65518 hello", "ffee000568656c6c6f"],
    ["local set 0xffee {qname}", `ffee0007${Buffer.from("a.test.").toString("hex")}`],
    ["local set 0xffee {qtype}", "ffee0002001c"],
    ["local set 0xffee {client_ip}", "ffee00040af4014d"],
    ["local set 0xffee {client_port} revert", "ffee00021234"],
    ["local set 0xffee {protocol}", "ffee0003756470"],
    ["nsid set", "00030000"],
    ["subnet set 24 56", "00080007000118000af401"],
    ["subnet set 30 56", "0008000800011e000af4014c"],
  ];
  for (const [rule, sent] of cases) assert.equal(forwardedBy([rule]), sent, rule);
  assert.equal(forwardedBy(["subnet set 24 44"], [], "2001:db8:ffff::1"), "0008000a00022c0020010db8fff0");
});

test("edns0 sets, appends, replaces and unsets, and sends nothing of the downstream's own", () => {
  const own = [0xff, 0xee, 0, 1, 9];
  assert.equal(forwardedBy([], own), "");
  assert.equal(forwardedBy(["local append 0xffee 0x01"], own), "");
  assert.equal(forwardedBy(["local append 0xffee 0x01"]), "ffee000101");
  assert.equal(forwardedBy(["local replace 0xffee 0x01"]), "");
  assert.equal(forwardedBy(["local replace 0xffee 0x01"], own), "ffee000101");
  assert.equal(forwardedBy(["local set 0xffee 0x01", "local set 0xffee 0x02"], own), "ffee000102");
  assert.equal(forwardedBy(["local set 0xffee 0x01", "local append 0xffee 0x02"]), "ffee000101");
  assert.equal(forwardedBy(["local set 0xffee 0x01", "nsid set", "local unset 0xffee"]), "00030000");
});

test("edns0 goes to the upstream, of queries without EDNS, too", async (t) => {
  const upstream = await startUpstream(t);
  const options: unknown[] = [];
  upstream.behave((query) => {
    const opt = query.additionals?.find(({ type }) => type === "OPT");
    options.push(opt?.type === "OPT" ? opt.options.map((each) => JSON.stringify(each)) : []);
    const [name = ""] = (query.questions ?? []).map((question) => question.name);
    return [reply(query, [{ type: "A", name, ttl: 60, data: "192.0.2.1" }])];
  });
  const corefile = `. {
  rewrite continue edns0 local set 0xffee 0x0102
  rewrite edns0 nsid set
  forward . 127.0.0.1:${upstream.port}
}`;
  const block = await serveCorefile(t, corefile);
  const found = await block.ask("a.outside.test A");
  assert.deepEqual(answersOf(found), ["a.outside.test A 60 192.0.2.1"]);
  assert.deepEqual(found?.additionals, []);
  assert.match(String(options[0]), /65518/);
  assert.match(String(options[0]), /NSID/);
});

test("edns0 refuses what it cannot mean, with its place", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["local frob 1 2", /^Cannot use rewrite at Corefile:2: action "frob", wanted set, append, replace, unset/],
    ["local set 0xffee", /wanted edns0 local ACTION CODE DATA/],
    ["local set 70000 x", /"70000", wanted a whole number from 0 to 65535/],
    ["local set 1 0x1", /wanted pairs of hexadecimal digits/],
    ["local set 1 {server_ip}", /variable \{server_ip\}.*not supported/],
    ["subnet set 33 56", /"33", wanted a whole number from 0 to 32/],
    ["cookie set", /edns0 "cookie", wanted local, nsid or subnet/],
  ];
  for (const [text, message] of cases) assert.throws(() => readOptionRule(directive, text.split(" ")), { message });
});

const aliases = `. {
  rewrite RULE
  template IN ANY service.test {
    answer "{{ .Name }} 60 IN CNAME edge.cdn.test."
  }
  template IN A cdn.test elsewhere.test {
    answer "{{ .Name }} 30 IN A 192.0.2.7"
  }
}`;

test("cname leads matching aliases elsewhere, and looks up what is there", async (t) => {
  const cases: readonly (readonly [rule: string, target: string])[] = [
    ["cname exact edge.cdn.test. other.elsewhere.test.", "other.elsewhere.test"],
    ["cname edge.cdn.test. other.elsewhere.test.", "other.elsewhere.test"],
    ["cname suffix .cdn.test .elsewhere.test", "edge.elsewhere.test"],
    ["cname prefix edge. far.", "far.cdn.test"],
    ["cname regex (.*)\\.cdn\\.(test)\\. {1}.elsewhere.{2}.", "edge.elsewhere.test"],
  ];
  for (const [rule, target] of cases) {
    const block = await serveCorefile(t, aliases.replace("RULE", rule));
    const wanted = [`a.service.test CNAME 60 ${target}`, `${target} A 30 192.0.2.7`];
    assert.deepEqual(answersOf(await block.ask("a.service.test A")), wanted, rule);
    assert.deepEqual(answersOf(await block.ask("a.service.test CNAME")), wanted.slice(0, 1), rule);
  }
});

test("cname leaves other aliases, ends loops, and keeps the alias where nothing is found", async (t) => {
  const other = await serveCorefile(t, aliases.replace("RULE", "cname exact x.test. y.test."));
  assert.deepEqual(answersOf(await other.ask("a.service.test A"))[0], "a.service.test CNAME 60 edge.cdn.test");
  const looping = await serveCorefile(t, aliases.replace("RULE", "cname exact edge.cdn.test. b.service.test."));
  const answers = answersOf(await looping.ask("a.service.test A"));
  assert.equal(answers[0], "a.service.test CNAME 60 b.service.test");
  assert.ok(answers.length <= 12, `${answers.length} records`);
  const missing = await serveCorefile(t, aliases.replace("RULE", "cname exact edge.cdn.test. none.test."));
  const found = await missing.ask("a.service.test A");
  assert.equal(found?.rcode, "SERVFAIL");
  assert.deepEqual(answersOf(found), ["a.service.test CNAME 60 none.test"]);
});
