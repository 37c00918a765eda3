import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { formatCode, messageIndex } from "./message-index.ts";

const root = join(import.meta.dirname, "..", "..");
const rows = Object.entries(messageIndex).flatMap(([component, table]) =>
  Object.entries(table).map(([code, message]) => ({ component, code, ...message })),
);

describe("messageIndex", () => {
  it("has a sentence and a hint in the house's grammar for every code", () => {
    for (const { component, code, sentence, hint } of rows) {
      assert.match(sentence, /^(?:[A-Z]|nft\b)/, `${component} ${code}: ${sentence}`);
      assert.doesNotMatch(sentence, /\.$|n't\b/, `${component} ${code}: ${sentence}`);
      assert.match(hint, /\S/, `${component} ${code}`);
      assert.doesNotMatch(hint, /\.$/, `${component} ${code}: ${hint}`);
    }
  });

  it("has a row for each code that a component's errors.ts declares", () => {
    const known = new Set(rows.map(({ code }) => code));
    const files = globSync("{api,cli,control,dns,kubelet,proxy,sidecar}/**/errors.ts", { cwd: root });
    // HTTP/1 codes are told by the status and x-wherry-error, which carries the whole sentence.
    const own = files.filter((file) => !file.includes("http1"));
    assert.ok(own.length >= 5);
    for (const file of own) {
      const codes = [...readFileSync(join(root, file), "utf8").matchAll(/^\s*\|\s"(\w+)"/gm)].map(([, code]) => code!);
      assert.deepEqual(
        codes.filter((code) => !known.has(code)),
        [],
        file,
      );
    }
  });

  it("formatCode() finds a code in any case, and refuses what is none", () => {
    assert.match(formatCode("errimagepull", "text"), /^ErrImagePull \(kubelet\): .*image map.*\(add the image/);
    assert.deepEqual(JSON.parse(formatCode("UH", "json")), [
      {
        component: "response flag",
        code: "UH",
        sentence: "No endpoint of the cluster is ready",
        hint: "see its pods: wherry get pods",
      },
    ]);
    assert.throws(() => formatCode("Nonsense", "text"), /Cannot explain Nonsense: wanted METHOD URL, or a code/);
  });
});

it("formatCode() knows the reasons that kubectl shows", () => {
  for (const [reason, code] of [
    ["CrashLoopBackOff", "CrashLoop"],
    ["FailedScheduling", "PodUnschedulable"],
    ["OOMKilled", "OutOfMemory"],
    ["HostPortNotPublished", "HostPortTaken"],
    ["ImagePullBackOff", "ErrImagePull"],
  ] as const)
    assert.match(formatCode(reason, "text"), new RegExp(`^${code} `), reason);
});

it("formatCode() knows what people see first", () => {
  for (const [code, told] of [
    ["503", /^503 \(status\): .*x-wherry-error: .*UH.*UF/],
    ["NXDOMAIN", /^NXDOMAIN \(name\): The name does not exist/],
    ["enotfound", /^ENOTFOUND \(name\): The name does not exist/],
    ["ECONNREFUSED", /^ECONNREFUSED \(connection\): Nothing listens there/],
  ] as const)
    assert.match(formatCode(code, "text"), told);
});
