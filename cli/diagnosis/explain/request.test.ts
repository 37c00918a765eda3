import assert from "node:assert/strict";
import { test } from "node:test";
import { namesToTry, parseRequest, pickResolved } from "./request.ts";

test("parseRequest() reads method, URL and headers as the HTTP engine would", () => {
  const { text, hostname, port, isTLS, head } = parseRequest("get", "http://reviews:9080/x?a=b", ["end-user: jason"]);
  assert.deepEqual([text, hostname, port, isTLS], ["GET http://reviews:9080/x?a=b", "reviews", 9080, false]);
  assert.deepEqual([head.method, head.path, head.query, head.host], ["GET", "/x", "a=b", "reviews:9080"]);
});

test("parseRequest() lets a Host header replace the URL's, and knows the default ports", () => {
  const { head, port } = parseRequest("GET", "http://10.0.0.1/", ["Host: shop.example.org"]);
  assert.deepEqual([head.host, port], ["shop.example.org", 80]);
  assert.deepEqual(parseRequest("GET", "https://shop.example.org/", []).port, 443);
});

for (const [method, url, header, message] of [
  ["GET", "reviews", "", /Cannot explain GET reviews: it is no URL/],
  ["GET", "ftp://reviews/", "", /scheme ftp, wanted http or https/],
  ["GET", "http://reviews/", "nonsense", /header "nonsense", wanted 'name: value'/],
  ["BREW", "http://reviews/", "", /Cannot explain BREW .*method/],
] as const) {
  test(`parseRequest() refuses ${method} ${url} ${header}`, () => {
    assert.throws(() => parseRequest(method, url, header === "" ? [] : [header]), message);
  });
}

test("namesToTry() follows the search list of a pod", () => {
  const domains = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];
  assert.deepEqual(namesToTry("reviews", "shop"), [...domains.map((domain) => `reviews.${domain}`), "reviews"]);
  assert.deepEqual(namesToTry("example.org.", "shop"), ["example.org"]);
  assert.equal(namesToTry("a.b.c.d.e.f", "shop")[0], "a.b.c.d.e.f");
});

test("pickResolved() names what has the address, not the search domain that the resolver answered for it", () => {
  const resolved = (hostname: string, ...answers: string[][]): unknown =>
    pickResolved(namesToTry(hostname, "shop"), answers);
  const web = { name: "web.shop.svc.cluster.local", addresses: ["10.96.0.5"] };
  assert.deepEqual(resolved("web", ["10.96.0.5"]), web);
  assert.deepEqual(resolved("web.shop", ["10.96.0.5"], ["10.96.0.5"]), web);
  assert.deepEqual(resolved("web.shop.svc.cluster.local", ["10.96.0.5"], [], [], ["10.96.0.5"]), web);
  const outside = { name: "example.org", addresses: ["192.0.2.1", "192.0.2.2"] };
  assert.deepEqual(resolved("example.org", ["192.0.2.1", "192.0.2.2"], [], [], ["192.0.2.2", "192.0.2.1"]), outside);
  // A pod of the own namespace and a Service of another may share a name: the first one tried is meant.
  const own = { name: "web.shop.shop.svc.cluster.local", addresses: ["10.244.1.2"] };
  assert.deepEqual(resolved("web.shop", ["10.244.1.2"], ["10.96.0.5"]), own);
  assert.equal(resolved("nowhere", [], []), undefined);
});
