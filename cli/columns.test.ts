import assert from "node:assert/strict";
import { test } from "node:test";
import type { Table } from "#api/client/http.ts";
import { formatAge, formatTable, rowsOf } from "./columns.ts";

const table: Table = {
  columnDefinitions: [
    { name: "Name", priority: 0 },
    { name: "Ready", priority: 0 },
    { name: "Node", priority: 1 },
  ],
  rows: [{ cells: ["web", "1/2", null], object: { metadata: { name: "web", namespace: "default" } } }],
};

test("rowsOf() shows what the server would have shown", () => {
  assert.deepEqual(rowsOf(table, { wide: false, namespaced: false, prefix: "" }), [{ NAME: "web", READY: "1/2" }]);
});

test("rowsOf() shows more on wish: wide columns, namespaces, kinds", () => {
  assert.deepEqual(rowsOf(table, { wide: true, namespaced: true, prefix: "pod/" }), [
    { NAMESPACE: "default", NAME: "pod/web", READY: "1/2", NODE: "<none>" },
  ]);
});

test("formatAge() has two units where the first is small", () => {
  const cases = [
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [150, "2m30s"],
    [900, "15m"],
    [10_800, "3h"],
    [12_060, "3h21m"],
    [36_000, "10h"],
    [200_000, "2d"],
  ] as const;
  for (const [seconds, text] of cases) assert.equal(formatAge(seconds * 1000), text);
});

test("formatTable() lines columns up and leaves no blanks at the end", () => {
  assert.equal(
    formatTable([
      { NAME: "a", AGE: "1s" },
      { NAME: "longer", AGE: "10m" },
    ]),
    "NAME     AGE\na        1s\nlonger   10m\n",
  );
  assert.equal(formatTable([]), "");
});
