/** The index of routes against looking at all of them, and the pure parts of routing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { compileRoutes } from "../config/route.ts";
import { parseRequestHead } from "../http1/request.ts";
import { HeadEditor } from "./head-editor.ts";
import { hashOf } from "./hash.ts";
import { literalPrefix } from "./literal-prefix.ts";
import { canonicalPath } from "./path.ts";
import { xxHash64 } from "./xxhash.ts";

const head = (path: string, headers = ""): ReturnType<typeof parseRequestHead> =>
  parseRequestHead(`GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);

const segment = fc.constantFrom("a", "b", "ab", "");
const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join("/")}`);
const separated = path.filter((text) => text.length > 1 && !text.endsWith("/"));
const pathMatch = fc.oneof(
  path.map((text) => ({ path: text })),
  path.map((text) => ({ prefix: text })),
  separated.map((text) => ({ path_separated_prefix: text })),
  path.map((text) => ({ safe_regex: { regex: `${text}.?` } })),
  fc.tuple(path, path).map(([one, two]) => ({ safe_regex: { regex: `${one}|${two}` } })),
  fc.tuple(path, path).map(([one, two]) => ({ safe_regex: { regex: `^${one}(${two}|b)*/?[a|b]*` } })),
  path.map((text) => ({ prefix: text, case_sensitive: false })),
);

const value = fc.constantFrom("a", "b", "");
const headerMatch = fc.oneof(
  value.map((exact) => ({ string_match: { exact } })),
  value.map((exact) => ({ string_match: { exact }, invert_match: true })),
  value.map((exact) => ({ string_match: { exact }, treat_missing_header_as_empty: true })),
  value.map((exact_match) => ({ exact_match })),
  fc.constant({ string_match: { exact: "A", ignore_case: true } }),
  fc.constant({ string_match: { prefix: "a" } }),
);
const headerMatches = fc.array(
  fc.tuple(fc.constantFrom("X-A", "x-b"), headerMatch).map(([name, one]) => ({ name, ...one })),
  { maxLength: 2 },
);
const match = fc.tuple(pathMatch, headerMatches).map(([one, headers]) => ({ ...one, headers }));
const sent = fc
  .array(fc.tuple(fc.constantFrom("x-a", "X-B"), value), { maxLength: 3 })
  .map((list) => list.map(([name, text]) => `${name}: ${text}\r\n`).join(""));

test("RouteIndex finds the route that looking at all in order finds", () => {
  fc.assert(
    fc.property(fc.array(match, { minLength: 9, maxLength: 80 }), path, sent, (matches, asked, headers) => {
      const routes = matches.map((one, at) => ({ name: String(at), match: one, direct_response: { status: 200 } }));
      const table = compileRoutes({ name: "r", virtual_hosts: [{ name: "v", domains: ["*"], routes }] });
      const each = routes.map((route) =>
        compileRoutes({ name: "r", virtual_hosts: [{ name: "v", domains: ["*"], routes: [route] }] }),
      );
      const wanted = each.findIndex((one) => one.find(head(asked, headers)) !== undefined);
      assert.equal(table.find(head(asked, headers))?.name, wanted < 0 ? undefined : String(wanted));
    }),
    { seed: 7, numRuns: 1000 },
  );
});

for (const [regex, prefix] of [
  ["/a/b", "/a/b"],
  ["/a/.*", "/a/"],
  ["^/a/.*$", "/a/"],
  ["/ab*", "/a"],
  ["/ab?c", "/a"],
  ["/ab{0,2}", "/a"],
  ["/ab+", "/a"],
  ["/a\\.b\\d", "/a.b"],
  ["/a(b|c)", "/a"],
  ["/a|/b", ""],
  ["/a(b)|/b", ""],
  ["/a\\|b", "/a|b"],
  ["/a[|]b", "/a"],
  ["/a[]|]b|c", ""],
  ["/a[^\\]|]b", "/a"],
  ["(?i)/a", ""],
  ["", ""],
] as const)
  test(`literalPrefix() of ${regex}`, () => {
    assert.equal(literalPrefix(regex), prefix);
  });

test("xxHash64() gives the values of its specification", () => {
  assert.equal(xxHash64(Buffer.from("")), 0xef46db3751d8e999n);
  assert.equal(xxHash64(Buffer.from("abc")), 0x44bc2cf5ad770999n);
  assert.equal(xxHash64(Buffer.from("Nobody inspects the spammish repetition")), 0xfbcea83c8a378bf1n);
});

test("hashOf() combines policies, stops at a terminal one, and makes a cookie for who has none", () => {
  const context = { sourceAddress: () => "192.0.2.1", newCookie: () => "made" };
  const header = { kind: "header", key: "x", rewrite: undefined, terminal: true } as const;
  const source = { kind: "sourceIP", terminal: false } as const;
  const alone = hashOf([header], head("/", "x: 1\r\n"), context);
  assert.equal(alone.hash, xxHash64(Buffer.from("1")));
  assert.deepEqual(hashOf([header, source], head("/", "x: 1\r\n"), context), alone);
  assert.equal(hashOf([header, source], head("/"), context).hash, xxHash64(Buffer.from("192.0.2.1")));
  assert.deepEqual(hashOf([], head("/"), context), { hash: undefined, setCookie: undefined });
  const cookie = { name: "c", ttlSeconds: 60, path: "/p", attributes: [] };
  const policy = { kind: "cookie", cookie, terminal: false } as const;
  assert.equal(hashOf([policy], head("/", "Cookie: b=1; c=2\r\n"), context).setCookie, undefined);
  assert.equal(hashOf([policy], head("/"), context).setCookie, 'c="made"; Max-Age=60; Path=/p; HttpOnly');
});

test("HeadEditor gives the very same head when nothing was changed", () => {
  const received = head("/a?b", "x: 1\r\nX: 2\r\n");
  const editor = new HeadEditor(received);
  editor.remove("y");
  assert.equal(editor.finish(), received);
  editor.set("x", "3");
  editor.setTarget("/c?d=e");
  editor.setHost("B:80");
  const changed = editor.finish();
  assert.deepEqual([changed.path, changed.query, changed.host], ["/c", "d=e", "b:80"]);
  assert.deepEqual(changed.headers.values, ["B:80", "3"]);
  assert.deepEqual(received.headers.values, ["a", "1", "2"]);
});

test("canonicalPath() leaves no dot segments and changes nothing twice", () => {
  const wild = fc.array(fc.constantFrom("a", ".", "..", "%2e", "%2E%2e", "", "%41", "\\"), { maxLength: 6 });
  fc.assert(
    fc.property(wild, (parts) => {
      const once = canonicalPath(`/${parts.join("/")}`)!;
      assert.doesNotMatch(once, /\/\.{1,2}(\/|$)/);
      assert.equal(canonicalPath(once), once);
    }),
    { seed: 3 },
  );
});
