/** Reading logs, also across a cut-back. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { boundLogs, logBytesMax, requireLog, streamLog } from "./logs.ts";

const root = mkdtempSync(join(tmpdir(), "wherry-logs-"));
after(() => rmSync(root, { recursive: true, force: true }));

let files = 0;
function logOf(text: string): string {
  files += 1;
  const file = join(root, `${files}.log`);
  writeFileSync(file, text);
  return file;
}

async function read(file: string, tailLines: number | undefined): Promise<string> {
  const effects = { clock: new ManualClock(), signal: new AbortController().signal };
  const chunks: Buffer[] = [];
  for await (const chunk of streamLog(file, { follow: false, tailLines }, effects)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("streamLog()", () => {
  const rows: readonly [text: string, tail: number | undefined, wanted: string][] = [
    ["a\nb\nc\n", undefined, "a\nb\nc\n"],
    ["a\nb\nc\n", 1, "c\n"],
    ["a\nb\nc\n", 2, "b\nc\n"],
    ["a\nb\nc\n", 9, "a\nb\nc\n"],
    ["a\nb\nc", 1, "c"],
    ["a\n\n\n", 2, "\n\n"],
    ["a\nb\n", 0, ""],
    ["", 3, ""],
  ];
  for (const [text, tail, wanted] of rows) {
    it(`gives ${JSON.stringify(wanted)} for ${tail ?? "all"} lines of ${JSON.stringify(text)}`, async () => {
      assert.equal(await read(logOf(text), tail), wanted);
    });
  }

  it("finds the last lines beyond one chunk", async () => {
    const long = `${"x".repeat(100_000)}\n`;
    assert.equal(await read(logOf(`first\n${long}${long}`), 2), long + long);
  });

  it("says that a container without log has not started", async () => {
    const wanted = { code: "NotFound", message: "Cannot read logs: the container has not started" };
    await assert.rejects(read(join(root, "none.log"), undefined), wanted);
    await assert.rejects(requireLog(join(root, "none.log")), wanted);
    await requireLog(logOf(""));
  });

  it("follows what is written, and across a cut-back gives every line once", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const line = (at: number): string => `line ${String(at).padStart(9, "0")} ${"x".repeat(84)}\n`;
    const lines = Math.ceil(logBytesMax / line(0).length) + 1;
    const file = logOf(Array.from({ length: lines }, (_, at) => line(at)).join(""));
    const seen = { bytes: 0, end: "" };
    const reading = (async () => {
      const follow = { follow: true, tailLines: undefined };
      for await (const chunk of streamLog(file, follow, { clock, signal: stop.signal })) {
        seen.bytes += chunk.length;
        seen.end = (seen.end + chunk.toString()).slice(-line(0).length * 3);
      }
    })();
    const until = async (bytes: number): Promise<void> => {
      while (seen.bytes < bytes) await clock.advance(100);
    };
    await until(lines * line(0).length);
    await boundLogs(root);
    assert.ok(statSync(file).size <= logBytesMax / 2);
    appendFileSync(file, line(lines) + line(lines + 1));
    await until((lines + 2) * line(0).length);
    stop.abort();
    await reading;
    assert.equal(seen.bytes, (lines + 2) * line(0).length);
    assert.equal(seen.end, line(lines - 1) + line(lines) + line(lines + 1));
  });
});

describe("boundLogs()", () => {
  it("leaves small logs, and cuts large ones back to whole lines of their second half", async () => {
    const small = logOf("a\n");
    const large = logOf(`${"first\n".repeat(logBytesMax / 6 + 1)}last\n`);
    await boundLogs(root);
    assert.equal(readFileSync(small, "utf8"), "a\n");
    const text = readFileSync(large, "utf8");
    assert.ok(text.length <= logBytesMax / 2 && text.startsWith("first\n") && text.endsWith("last\n"));
  });
});
