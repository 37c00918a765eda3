/** Corefiles: what is read, and what is said of what cannot be. */
import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { serveCorefile } from "../plugin-fixture.ts";
import { DNSError } from "../errors.ts";
import { toText } from "../wire/name.ts";
import { parseCorefile, type ServerBlock } from "./parse.ts";

/** As cluster/addons/dns/coredns/coredns.yaml.base has it, with the usual values put in. */
export const stockCorefile = `.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
        max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
`;

const files: Readonly<Record<string, string>> = { "zones/a": "a.test {\n  whoami\n}\n", common: "errors\nlog\n" };

function parse(text: string): readonly ServerBlock[] {
  return parseCorefile(text, {
    file: "Corefile",
    port: 53,
    environmentVariable: (name) => ({ ZONE: "env.test", PORT: "1053" })[name],
    readImport: (pattern) => {
      const content = files[pattern];
      if (content === undefined) throw new Error("no file");
      return [{ file: pattern, text: content }];
    },
  });
}

const keysOf = (blocks: readonly ServerBlock[]): readonly string[] =>
  blocks.flatMap(({ addresses }) => addresses.map(({ scheme, zone, port }) => `${scheme}://${toText(zone)}:${port}`));
const namesOf = (block: ServerBlock | undefined): readonly string[] =>
  (block?.directives ?? []).map(({ name, args }) => [name, ...args].join(" "));

test("parseCorefile() reads the stock Corefile of Kubernetes", () => {
  const [block, ...others] = parse(stockCorefile);
  assert.equal(others.length, 0);
  assert.deepEqual(keysOf(block === undefined ? [] : [block]), ["dns://.:53"]);
  assert.equal(block?.directives.length, 10);
  const kubernetes = block?.directives[3];
  assert.deepEqual(
    kubernetes?.block?.map(({ name, args }) => [name, ...args].join(" ")),
    ["pods insecure", "fallthrough in-addr.arpa ip6.arpa", "ttl 30"],
  );
  assert.equal(kubernetes?.at, "Corefile:7");
});

test("parseCorefile() reads zones, ports, schemes, ranges and variables", () => {
  assert.deepEqual(keysOf(parse("a.test b.test:5353 {\n}\n")), ["dns://a.test.:53", "dns://b.test.:5353"]);
  assert.deepEqual(keysOf(parse("a.test, b.test,\nc.test {\n}\n")), [
    "dns://a.test.:53",
    "dns://b.test.:53",
    "dns://c.test.:53",
  ]);
  assert.deepEqual(keysOf(parse("tls://. https://.:8443 {\n}")), ["tls://.:853", "https://.:8443"]);
  assert.deepEqual(keysOf(parse("10.0.0.0/15 {\n}")), ["dns://0.10.in-addr.arpa.:53", "dns://1.10.in-addr.arpa.:53"]);
  assert.deepEqual(keysOf(parse("{$ZONE}:{%PORT%} {\n}")), ["dns://env.test.:1053"]);
  assert.deepEqual(keysOf(parse("example.org\nerrors\nlog")), ["dns://example.org.:53"]);
});

test("parseCorefile() reads comments and quotes", () => {
  const [block] = parse('. { # the root\n  template IN A "with space" "a \\" quote" # end\n}\n');
  assert.deepEqual(block?.directives[0]?.args, ["IN", "A", "with space", 'a " quote']);
});

test("parseCorefile() puts snippets and files in", () => {
  const text =
    "(snip) {\n  errors\n  forward . {args[0]}\n}\nimport zones/a\nb.test {\n  import snip 1.1.1.1\n  import common\n}\n";
  const blocks = parse(text);
  assert.deepEqual(keysOf(blocks), ["dns://a.test.:53", "dns://b.test.:53"]);
  assert.deepEqual(namesOf(blocks[1]), ["errors", "forward . 1.1.1.1", "errors", "log"]);
});

const wrong: readonly (readonly [text: string, message: RegExp])[] = [
  [". {\n  errors\n", /^Cannot read Corefile:1: block without end, wanted \}$/],
  [". {\n}\n}\n", /Corefile:3/],
  ["{\n}\n", /^Cannot read Corefile:1: wanted a zone before \{$/],
  ['. {\n  log "open\n}\n', /^Cannot read Corefile:2: quote without end/],
  [".:99999 {\n}\n", /^Cannot use the server block at Corefile:1: "99999", wanted a whole number from 0 to 65535$/],
  ["quic://. {\n}\n", /scheme "quic", wanted dns, tls, https$/],
  [". {\n  import nowhere\n}\n", /^Cannot read Corefile:2: no snippet and no file "nowhere"$/],
  ["(loop) {\n  import loop\n}\n. {\n  import loop\n}\n", /wanted imports that end/],
];

for (const [text, message] of wrong) {
  test(`parseCorefile() says where ${JSON.stringify(text.slice(0, 24))} is wrong`, () => {
    assert.throws(
      () => parse(text),
      (error) => error instanceof DNSError && message.test(error.message),
    );
  });
}

test("parseCorefile() throws nothing but DNSError", () => {
  const word = fc.constantFrom(
    "{",
    "}",
    ".",
    "a.test",
    "import",
    "(s)",
    "s",
    "errors",
    '"q"',
    '"',
    "#c",
    "\n",
    ":1",
    "{$X}",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), (words) => {
      try {
        parse(words.join(" "));
      } catch (error) {
        assert.ok(error instanceof DNSError, String(error));
      }
    }),
  );
});

const refused: readonly (readonly [text: string, message: RegExp])[] = [
  [". {\n  dnssec\n}", /^Cannot use dnssec at Corefile:2: there is no such plugin, wanted one of acl, any, /],
  [". {\n  forward .\n}", /^Cannot use forward at Corefile:2: wanted FROM and at least one TO$/],
  [". {\n  forward . 1.1.1.1 {\n    polcy random\n  }\n}", /^Cannot use forward at Corefile:3: unknown option "polcy"/],
  [". {\n  hosts {\n    ttl x\n  }\n}", /^Cannot use ttl at Corefile:3: "x", wanted a whole number from 1 to 65535$/],
  [". {\n  errors\n}\n. {\n  errors\n}", /dns:\/\/\.:53 is there already, wanted it once$/],
  ["tls://. {\n  errors\n}", /no certificate, wanted the plugin tls CERT KEY$/],
  [". {\n  rewrite edns1 local set 1 2\n}", /field "edns1", wanted name, type, class, ttl, rcode, cname or edns0$/],
  [". {\n  kubernetes cluster.local {\n    pods maybe\n  }\n}", /"maybe", wanted disabled, insecure or verified$/],
  ['. {\n  template IN A {\n    answer "{{ .Nope }}"\n  }\n}', /Corefile:3: \{\{ \.Nope \}\}, wanted \.Name/],
];

for (const [text, message] of refused) {
  test(`buildInstance() refuses ${JSON.stringify(text.slice(0, 40))}`, async (t) => {
    await assert.rejects(serveCorefile(t, text, { files: { "/etc/hosts": "" } }), (error) => {
      assert.match((error as Error).message, message);
      return error instanceof DNSError;
    });
  });
}
