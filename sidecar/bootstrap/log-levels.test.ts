/** Levels by Envoy's names: which lines are written, and what the level is called. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LogLevels, levelNames, levelWords } from "./log-levels.ts";

/** What is written of one line a level. */
function written(levels: LogLevels, lines: string[]): string {
  lines.length = 0;
  for (const level of ["debug", "info", "warn", "error"] as const) levels.log.with({ a: 1 })[level](level);
  return lines.map((line) => (JSON.parse(line) as { level: string }).level).join();
}

test("LogLevels writes by each of Envoy's levels, and calls it as it was given", () => {
  const lines: string[] = [];
  const levels = new LogLevels("sidecar", "info", (line) => void lines.push(line));
  assert.equal(levels.current, "info");
  for (const [name, wanted, called] of [
    ["trace", "debug,info,warn,error", "trace"],
    ["debug", "debug,info,warn,error", "debug"],
    ["info", "info,warn,error", "info"],
    ["warning", "warn,error", "warning"],
    ["warn", "warn,error", "warning"],
    ["error", "error", "error"],
    ["critical", "error", "critical"],
    ["off", "", "off"],
  ] as const) {
    assert.equal(levels.set(name), true, name);
    assert.deepEqual([written(levels, lines), levels.current], [wanted, called], name);
  }
});

test("LogLevels has no other level, and keeps the one it had", () => {
  const levels = new LogLevels("sidecar", "error");
  for (const name of ["bogus", "", "toString", "INFO"]) assert.equal(levels.set(name), false, name);
  assert.equal(levels.current, "error");
  assert.equal(levelWords, "trace, debug, info, warning, error, critical or off");
  assert.equal(levelNames.length, 7);
});
