import assert from "node:assert/strict";
import { test } from "node:test";
import { lastErrorIn, readLastError } from "./last-error.ts";

const line = (level: string, message: string, error?: string): string =>
  JSON.stringify({ time: "2026-01-01T00:00:00.000Z", level, component: "agent", message, error });

test("lastErrorIn() takes the last complaint, whatever came after it", () => {
  const log = [line("error", "first", "a"), line("error", "Cannot start", "no nft"), line("info", "later")].join("\n");
  assert.equal(lastErrorIn(log), "Cannot start: no nft");
});

test("lastErrorIn() takes an error that ended the process", () => {
  const log = `${line("error", "old")}\nnode:internal\n    throw new X\nError [ERR_MODULE_NOT_FOUND]: Cannot find module 'x'\n    at y\n`;
  assert.equal(lastErrorIn(log), "Error [ERR_MODULE_NOT_FOUND]: Cannot find module 'x'");
});

test("lastErrorIn() finds nothing where there is nothing, and in a line that is cut", () => {
  assert.equal(lastErrorIn(""), undefined);
  assert.equal(lastErrorIn(`${line("info", "fine")}\n{"time":"2026`), undefined);
  assert.equal(readLastError("/nonexistent/log"), undefined);
});
