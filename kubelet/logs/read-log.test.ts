/** Reading logs: how much, from when, with times, on as they grow, and across what was given up. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { boundPodLogs, logBytesMax, pruneLogs, removeLogsExcept } from "./log-files.ts";
import type { LogOptions } from "./log-options.ts";
import { logEnd, readLog } from "./read-log.ts";
import { LogStamper, readStamps, writeStamps } from "./stamper.ts";
import type { Mark } from "./stamps.ts";

const root = mkdtempSync(join(tmpdir(), "wherry-logs-"));
after(() => rmSync(root, { recursive: true, force: true }));

const all: LogOptions = {
  follow: false,
  previous: false,
  timestamps: false,
  tailLines: undefined,
  limitBytes: undefined,
  sinceMs: undefined,
};

let files = 0;
function logOf(text: string, marks: readonly Mark[] = []): string {
  files += 1;
  mkdirSync(join(root, String(files)));
  const file = join(root, String(files), "0.log");
  writeFileSync(file, text);
  writeStamps(file, { start: 0, marks });
  return file;
}

async function read(file: string, options: Partial<LogOptions> = {}): Promise<string> {
  const { signal } = new AbortController();
  const effects = { clock: new ManualClock(), signal, look: () => undefined, isOpen: () => false };
  const chunks: Buffer[] = [];
  for await (const chunk of readLog({ file, options: { ...all, ...options }, ...effects })) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("readLog()", () => {
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
  for (const [text, tailLines, wanted] of rows) {
    it(`gives ${JSON.stringify(wanted)} for ${tailLines ?? "all"} lines of ${JSON.stringify(text)}`, async () => {
      assert.equal(await read(logOf(text), { tailLines }), wanted);
    });
  }

  it("finds the last lines beyond one chunk", async () => {
    const long = `${"x".repeat(100_000)}\n`;
    assert.equal(await read(logOf(`first\n${long}${long}`), { tailLines: 2 }), long + long);
  });

  it("says so when the log has been removed", async () => {
    await assert.rejects(read(join(root, "none.log")), { code: "NotFound" });
  });

  const second = 1000;
  const marks = [
    { offset: 2, timeMs: 1 * second },
    { offset: 5, timeMs: 2 * second },
    { offset: 6, timeMs: 3 * second },
  ];
  const stamped: readonly [what: string, options: Partial<LogOptions>, wanted: string][] = [
    ["each line its time", { timestamps: true }, "1 a\n2 b\n2 c\n"],
    ["a line whose end came later its first byte's time", { timestamps: true, tailLines: 1 }, "2 c\n"],
    ["lines since a time", { sinceMs: 2 * second }, "b\nc\n"],
    ["whole lines only", { sinceMs: 3 * second }, ""],
    ["nothing since a time after all", { sinceMs: 4 * second }, ""],
    ["everything since a time before all", { sinceMs: 0 }, "a\nb\nc\n"],
    ["the later of tail and time", { sinceMs: 2 * second, tailLines: 1 }, "c\n"],
    ["so many bytes", { limitBytes: 3 }, "a\nb"],
    ["so many bytes, times among them", { limitBytes: 31, timestamps: true }, "1 "],
  ];
  for (const [what, options, wanted] of stamped) {
    it(`gives ${what}`, async () => {
      const text = await read(logOf("a\nb\nc\n", marks), options);
      assert.equal(text.replaceAll(/1970-01-01T00:00:0(\d)\.000000000Z/g, "$1"), wanted);
    });
  }

  it("follows until the container has ended, and reads what it wrote last", async () => {
    const clock = new ManualClock();
    const file = logOf("a\n");
    let isOpen = true;
    const chunks: string[] = [];
    const options = { ...all, follow: true };
    const reader = { file, options, clock, signal: new AbortController().signal, look: () => undefined };
    const reading = (async () => {
      for await (const chunk of readLog({ ...reader, isOpen: () => isOpen })) chunks.push(chunk.toString());
    })();
    while (chunks.length < 1) await clock.advance(100);
    appendFileSync(file, "b\n");
    while (chunks.length < 2) await clock.advance(100);
    appendFileSync(file, "c\n");
    isOpen = false;
    for (let tries = 0; tries < 50 && chunks.length < 3; tries += 1) await clock.advance(100);
    await reading;
    assert.equal(chunks.join(""), "a\nb\nc\n");
  });
});

describe("boundPodLogs()", () => {
  const line = (at: number): string => `line ${String(at).padStart(9, "0")} ${"x".repeat(84)}\n`;
  const lines = Math.ceil(logBytesMax / line(0).length) + 100;

  it("gives up the beginning, whole lines, while a reader and the marks keep their place", async () => {
    const clock = new ManualClock();
    const stamper = new LogStamper(clock);
    const file = logOf(Array.from({ length: lines }, (_, at) => line(at)).join(""));
    rmSync(file.replace(/log$/, "times"), { force: true });
    stamper.start(file);
    await boundPodLogs(root);
    assert.ok(statSync(file).blocks * 512 <= logBytesMax, "the disk has its space back");
    appendFileSync(file, line(lines));
    await clock.advance(1000);
    stamper.stop(file);
    const text = await read(file);
    assert.ok(text.startsWith("line 0000") && text.endsWith(line(lines)), text.slice(0, 40));
    assert.ok(text.length < logBytesMax && text.length > logBytesMax / 4);
    const last = await read(file, { tailLines: 1, timestamps: true });
    assert.ok(last.startsWith("2026-01-01T00:00:0") && last.endsWith(`Z ${line(lines)}`), last);
    assert.ok(readStamps(file).start > 0);
  });
});

describe("LogStamper", () => {
  it("marks what it missed with the time at which it sees it, and nothing twice", async () => {
    const clock = new ManualClock(1000);
    const file = logOf("a\n", [{ offset: 2, timeMs: 5 }]);
    appendFileSync(file, "b\n");
    const stamper = new LogStamper(clock);
    stamper.start(file);
    stamper.look(file);
    stamper.close();
    assert.deepEqual(readStamps(file).marks, [
      { offset: 2, timeMs: 5 },
      { offset: 4, timeMs: 1000 },
    ]);
  });

  it("begins anew when the log was emptied", () => {
    const file = logOf("b\n", [{ offset: 20, timeMs: 5 }]);
    const stamper = new LogStamper(new ManualClock(1000));
    stamper.start(file);
    stamper.close();
    assert.deepEqual(readStamps(file).marks, [{ offset: 2, timeMs: 1000 }]);
  });
});

describe("log files", () => {
  it("are kept of the last two attempts", async () => {
    const file = logOf("old\n");
    const folder = join(file, "..");
    for (const attempt of [1, 2]) writeFileSync(join(folder, `${attempt}.log`), "");
    pruneLogs(folder, 2);
    await assert.rejects(read(file), { code: "NotFound" });
    assert.equal(await read(join(folder, "1.log")), "");
  });

  it("of pods that are gone are removed", async () => {
    const base = mkdtempSync(join(root, "pods-"));
    for (const uid of ["one", "two"]) mkdirSync(join(base, uid));
    removeLogsExcept(base, new Set(["one"]));
    assert.ok(statSync(join(base, "one")).isDirectory());
    assert.equal(statSync(join(base, "two"), { throwIfNoEntry: false }), undefined);
    removeLogsExcept(join(base, "none"), new Set());
  });
});

describe("logEnd()", () => {
  it("is the last lines, and no more bytes than wanted", () => {
    assert.equal(logEnd(logOf("a\nb\nc\n"), 2, 100), "b\nc\n");
    assert.equal(logEnd(logOf("a\nbbbb\n"), 80, 3), "bb\n");
    assert.equal(logEnd(join(root, "none.log"), 1, 1), "");
  });
});
