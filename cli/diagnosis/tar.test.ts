import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { encodeTar } from "./tar.ts";

test("encodeTar() makes what tar reads", () => {
  const archive = encodeTar(
    [
      { path: "a/one.txt", text: "one\n" },
      { path: "a/empty.txt", text: "" },
      { path: "a/long.txt", text: "x".repeat(1025) },
    ],
    1_700_000_000_000,
  );
  assert.equal(archive.length % 512, 0);
  assert.equal(
    execFileSync("tar", ["-tf", "-"], { input: archive }).toString(),
    "a/one.txt\na/empty.txt\na/long.txt\n",
  );
  const text = execFileSync("tar", ["-xOf", "-"], { input: archive }).toString();
  assert.equal(text, `one\n${"x".repeat(1025)}`);
});

test("encodeTar() refuses a path that does not fit", () => {
  assert.throws(() => encodeTar([{ path: "x".repeat(101), text: "" }], 0), /its path has more than 100 bytes/);
});
