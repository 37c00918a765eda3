/**
 * The house style as a test: what a linter has no rule for.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

const root = join(import.meta.dirname, "..");
const files = listFiles().filter((file) => existsSync(join(root, file)));
const sources = files.filter((file) => file.endsWith(".ts"));
const read = (file: string): string => readFileSync(join(root, file), "utf8");

/** Tracked and new files; all files where there is no git. */
function listFiles(): string[] {
  const tracked = ["ls-files", "--cached", "--others", "--exclude-standard"];
  return execFileSync("git", ["-c", `safe.directory=${root}`, "-C", root, ...tracked], { encoding: "utf8" })
    .trim()
    .split("\n");
}

/** Banned text, what to take instead, and where it may stand all the same. */
const bans = [
  {
    text: "process.env",
    instead: "configuration given as an argument",
    allowed: /^(cli|kubelet\/process-runtime|test|bench|examples)|\.test\.ts$/,
  },
  { text: "new Date()", instead: "a Clock from #lib/clock.ts", allowed: /^(lib\/log\.ts|test|bench)/ },
  { text: "console.log", instead: "a Logger from #lib/log.ts", allowed: /^(examples|bench|test|api\/xds\/compile)/ },
  { text: ["@ts", "ignore"].join("-"), instead: "the right type", allowed: /^$/ },
  { text: ["oxlint", "disable"].join("-"), instead: "code that needs no exception", allowed: /^$/ },
  { text: [".on", "ly("].join(""), instead: "running one test by name", allowed: /^$/ },
  { text: ["TO", "DO"].join(""), instead: "an issue, or nothing", allowed: /^$/ },
];

describe("tidy", () => {
  it("opens every source file with a header comment", () => {
    const without = sources.filter((file) => !file.endsWith(".test.ts") && !read(file).startsWith("/**"));
    assert.deepEqual(without, []);
  });

  for (const { text, instead, allowed } of bans) {
    it(`has no ${text} where it does not belong: take ${instead}`, () => {
      const found = sources.filter(
        (file) => file !== "test/tidy.test.ts" && !allowed.test(file) && read(file).includes(text),
      );
      assert.deepEqual(found, []);
    });
  }

  it("keeps lines within 120 columns, texts and patterns apart", () => {
    const literals = /"[^"]*"|`[^`]*`|'[^']*'|\/(?:[^/\\\n]|\\.)+\//g;
    const long = sources.flatMap((file) =>
      read(file)
        .split("\n")
        .flatMap((line, at) => (line.replace(literals, "").length > 120 ? [`${file}:${at + 1}`] : [])),
    );
    assert.deepEqual(long, []);
  });

  it("says nothing of any machine's paths", () => {
    const banned = ["root", "work/main", "home"].map((folder) => `/${folder}/`);
    const found = files.filter(
      (file) =>
        /\.(ts|md|json|yaml)$/.test(file) &&
        file !== "package-lock.json" &&
        banned.some((path) => read(file).includes(path)),
    );
    assert.deepEqual(found, []);
  });

  it("names every folder in the README", () => {
    const folders = [
      ...new Set(
        files.filter((file) => file.includes("/") && !file.startsWith(".")).map((file) => file.split("/")[0] ?? ""),
      ),
    ];
    const readme = read("README.md");
    assert.deepEqual(
      folders.filter((folder) => !readme.includes(`\`${folder}/\``)),
      [],
    );
  });
});
