/** Control groups, on plain folders: what is written where. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Cgroups, cgroup2Mount, clusterGroupsIn, findClusterGroups, limitFiles, removeGroups } from "./cgroups.ts";

const root = mkdtempSync(join(tmpdir(), "wherry-cgroups-"));
after(() => rmSync(root, { recursive: true, force: true }));

describe("limitFiles()", () => {
  it("writes CPU as time in a period, memory in bytes, requests as a weight", () => {
    const files = limitFiles({ milliCPU: 250, memory: 64 * 2 ** 20, milliCPURequest: 1000 });
    assert.deepEqual(files, {
      "cpu.max": "25000 100000",
      "cpu.weight": "39",
      "memory.max": "67108864",
      "memory.oom.group": "1",
    });
    assert.equal(limitFiles({ milliCPU: 1 })["cpu.max"], "1000 100000", "the kernel takes no less");
    assert.deepEqual(limitFiles(undefined), {});
  });
});

describe("cgroup2Mount()", () => {
  it("finds cgroup v2 among the mounts", () => {
    const v1 = "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
    const v2 = "31 29 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    assert.equal(cgroup2Mount([v1, v2].join("\n")), "/sys/fs/cgroup/unified");
    assert.equal(cgroup2Mount(v1), undefined);
  });
});

describe("Cgroups", () => {
  it("makes a group with its limits, and hands the controllers on to it", () => {
    const cgroups = Cgroups.at(root);
    const group = cgroups.make("u1", "web", { memory: 1000 });
    assert.equal(group, join(root, "u1", "web"));
    assert.equal(readFileSync(join(group, "memory.max"), "utf8"), "1000");
    assert.equal(readFileSync(join(root, "u1", "cgroup.subtree_control"), "utf8"), "+cpu +memory");
    assert.equal(cgroups.groupOf("u1", "none"), undefined);
  });

  it("tells a container that was killed for its memory", () => {
    const cgroups = Cgroups.at(root);
    const group = join(root, "u2", "web");
    mkdirSync(group, { recursive: true });
    writeFileSync(join(group, "cgroup.procs"), "");
    writeFileSync(join(group, "memory.events"), "oom 1\noom_kill 0\n");
    assert.equal(cgroups.wasOutOfMemory("u2", "web"), false);
    writeFileSync(join(group, "memory.events"), "oom 1\noom_kill 1\n");
    assert.equal(cgroups.wasOutOfMemory("u2", "web"), true);
  });

  it("removes empty groups, the deepest first, and leaves what is in use", () => {
    mkdirSync(join(root, "u3", "web"), { recursive: true });
    mkdirSync(join(root, "u4", "web"), { recursive: true });
    writeFileSync(join(root, "u4", "web", "cgroup.procs"), "1");
    const cgroups = Cgroups.at(root);
    for (const uid of ["u3", "u4", "none"]) cgroups.remove(uid);
    assert.deepEqual([existsSync(join(root, "u3")), existsSync(join(root, "u4"))], [false, true]);
  });

  it("does nothing where there are none, and says why", () => {
    const cgroups = Cgroups.none("no cgroup v2 file system is mounted");
    assert.equal(cgroups.make("u1", "web", { memory: 1 }), undefined);
    assert.equal(cgroups.wasOutOfMemory("u1", "web"), false);
    assert.equal(cgroups.refusal, "no cgroup v2 file system is mounted");
  });
});

describe("clusterGroupsIn(), removeGroups()", () => {
  it("find and remove what a cluster's nodes made, and nothing of another cluster", () => {
    const parent = mkdtempSync(join(root, "parent-"));
    const others = ["wherry-shop-node1-node1", "wherry-shop-b-node1", "wherry-shop-nodes", "user.slice"];
    const own = ["wherry-shop-node1", "wherry-shop-node12"];
    for (const name of [...others, ...own]) mkdirSync(join(parent, name, "pod", "web"), { recursive: true });
    const found = clusterGroupsIn([parent, join(parent, "none")], "shop");
    assert.deepEqual(
      found.sort(),
      own.map((name) => join(parent, name)),
    );
    assert.ok(removeGroups(found));
    assert.deepEqual(readdirSync(parent).sort(), others.sort());
  });

  it("say when something is left", () => {
    const group = mkdtempSync(join(root, "busy-"));
    writeFileSync(join(group, "cgroup.procs"), "1");
    assert.ok(!removeGroups([group]));
    assert.ok(removeGroups([]));
  });

  it("find nothing by processes that are gone", () => {
    assert.deepEqual(findClusterGroups("none-such", [2 ** 30, "self"]), []);
  });
});
