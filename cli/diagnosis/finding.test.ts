import assert from "node:assert/strict";
import { test } from "node:test";
import { find, forCluster, formatFinding } from "./finding.ts";

const subject = { kind: "pod", name: "web", namespace: "shop" };

test("find() says what it is about, what it means, what was observed and what helps", () => {
  assert.deepEqual(find("CrashLoop", subject, "container a ended with 3"), {
    code: "CrashLoop",
    severity: "error",
    about: "pod shop/web",
    sentence: "pod shop/web: A container ends again and again: container a ended with 3",
    hint: "see its last words: wherry logs web -n shop",
  });
});

test("find() takes the hint of the message where it has one, and leaves a word in parentheses alone", () => {
  const found = find("ImageUnknown", subject, "Cannot resolve image x: no entry (pass --images and start again)");
  assert.equal(found.hint, "pass --images and start again");
  assert.match(found.sentence, /no entry$/);
  assert.match(find("PodFailed", subject, "container a ended with 5 (Error)").sentence, /\(Error\)$/);
});

test("find() tells warnings from errors", () => {
  assert.equal(find("UpstreamBroken", { kind: "node", name: "node1" }, "").severity, "warning");
  assert.equal(find("DNSBroken", { kind: "node", name: "node1" }, "").severity, "error");
});

test("forCluster() names the cluster in every command, but for the default one", () => {
  const found = find("CertificateExpiresSoon", { kind: "certificate", name: "ca.crt" }, "");
  assert.equal(forCluster(found, "default"), found);
  assert.equal(forCluster(found, "two").hint, "renew it: wherry down --name two; wherry up --name two");
});

test("formatFinding() is one line", () => {
  const text = formatFinding(find("NodeNotReady", { kind: "node", name: "node2" }, "it is gone"));
  assert.match(text, /^ {2}× node node2: .*it is gone \(.*\) \[NodeNotReady\]\n$/);
});
