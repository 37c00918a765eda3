import assert from "node:assert/strict";
import { test } from "node:test";
import { withTwoDashes } from "./dns-commands.ts";

const words = (...given: readonly string[]): string[] => withTwoDashes(["node", "wherry", ...given]).slice(2);

for (const [given, wanted] of [
  [
    ["dns", "-conf", "F", "-p", "53"],
    ["dns", "--conf", "F", "--dns.port", "53"],
  ],
  [
    ["dns", "-conf=F", "-dns.port=53", "-pidfile=P"],
    ["dns", "--conf=F", "--dns.port=53", "--pidfile=P"],
  ],
  [
    ["dns", "-quiet", "-plugins=false", "--version=T"],
    ["dns", "--quiet", "--version"],
  ],
  [
    ["up", "-p", "80", "-conf"],
    ["up", "-p", "80", "-conf"],
  ],
] as const)
  test(`withTwoDashes() makes of "${given.join(" ")}" what our parser reads`, () =>
    assert.deepEqual(words(...given), wanted));

for (const [flag, message] of [
  ["-cpu=2", "Cannot use -cpu: a process uses one core; for more start several, each with bind addresses of its own"],
  ["-log", "Cannot use -log: name the plugin log in the Corefile"],
  ["--alsologtostderr", "Cannot use -alsologtostderr: logs go to standard error, see --log-level"],
  ["-quiet=maybe", "Cannot use -quiet=maybe: wanted true or false"],
] as const)
  test(`withTwoDashes() refuses ${flag} with the way out`, () =>
    assert.throws(() => words("dns", flag), { name: "CliError", code: "Usage", message }));
