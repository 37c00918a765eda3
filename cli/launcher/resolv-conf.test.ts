import assert from "node:assert/strict";
import { test } from "node:test";
import { formatResolvConf, withResolvConf } from "./resolv-conf.ts";

test("formatResolvConf() has the search list of a pod of the namespace", () => {
  const lines = ["nameserver 10.96.0.10", "search shop.svc.cluster.local svc.cluster.local cluster.local"];
  assert.equal(formatResolvConf("shop"), [...lines, "options ndots:5", ""].join("\n"));
});

test("withResolvConf() gives a command the namespace's file, and leaves it alone where everybody's is that", () => {
  assert.deepEqual(withResolvConf("default", ["curl", "x"]), ["curl", "x"]);
  const [program, ...args] = withResolvConf("shop", ["curl", "x"]);
  assert.equal(program, "unshare");
  assert.deepEqual(args.slice(-3), [formatResolvConf("shop"), "curl", "x"]);
});
