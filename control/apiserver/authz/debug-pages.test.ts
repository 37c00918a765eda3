import assert from "node:assert/strict";
import { test } from "node:test";
import type { Registry } from "../registry.ts";
import { authorize } from "./authorizer.ts";

test("authorize() lets nobody but system:masters read /debug", () => {
  const attributes = { verb: "get", resource: undefined, path: "/debug/sync" };
  // A path that is no resource is decided by rules alone.
  const registry = {} as Registry;
  const allowed = (name: string, ...groups: readonly string[]): boolean =>
    authorize(registry, { name, groups: [...groups, "system:authenticated"] }, attributes).allowed;
  assert.equal(allowed("kubernetes-admin", "system:masters"), true);
  assert.equal(allowed("system:node:node1", "system:nodes"), false);
  assert.equal(allowed("system:serviceaccount:default:default", "system:serviceaccounts"), false);
  assert.equal(allowed("somebody"), false);
});
