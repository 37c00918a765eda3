/** What nft and the kernel say when they refuse, and what is made of it. */
import assert from "node:assert/strict";
import test from "node:test";
import { explainRefusal, wantedVersions } from "./refusal.ts";

const rows: readonly (readonly [why: string, stderr: string, wanted: string])[] = [
  [
    "a kernel that lacks something",
    "/dev/stdin:1:9-20: Error: Could not process rule: Operation not supported\nadd set ip t s { flags dynamic ; }\n  ^^^\n",
    "/dev/stdin:1:9-20: Error: Could not process rule: Operation not supported: add set ip t s { flags dynamic ; } " +
      `(${wantedVersions})`,
  ],
  [
    "an nft that is too old",
    "/dev/stdin:1:9-14: Error: syntax error, unexpected typeof\nadd map typeof\n        ^^^^^^\n",
    `/dev/stdin:1:9-14: Error: syntax error, unexpected typeof: add map typeof (${wantedVersions})`,
  ],
  [
    "no capability",
    "Error: Could not process rule: Operation not permitted\n",
    "Error: Could not process rule: Operation not permitted (wanted CAP_NET_ADMIN in this network namespace)",
  ],
  [
    "anything else",
    "Error: Could not process rule: No such file or directory\n",
    "Error: Could not process rule: No such file or directory",
  ],
];

for (const [why, stderr, wanted] of rows)
  test(`explainRefusal() of ${why}`, () => assert.equal(explainRefusal(stderr), wanted));

test("explainRefusal() is bounded, and takes what is wanted otherwise", () => {
  const sentence = explainRefusal(`Error: x\n${"add element ".repeat(1000)}`, "wanted y");
  assert.ok(sentence.length < 420 && sentence.endsWith(" (wanted y)"), sentence);
});
