import assert from "node:assert/strict";
import { test } from "node:test";
import { type System, probe, requireSystem, systemPath } from "./preflight.ts";

function system(options: {
  missing?: readonly string[];
  stderr?: string;
  isRoot?: boolean;
  installs?: boolean;
}): System {
  const missing = new Set(options.missing);
  return {
    isRoot: options.isRoot ?? false,
    has: (program) => !missing.has(program),
    run(command) {
      if (command.join(" ").includes("apt-get install")) {
        if (options.installs === true) missing.clear();
        return { status: options.installs === true ? 0 : 100, stderr: "" };
      }
      const stderr = options.stderr ?? "";
      return { status: stderr === "" ? 0 : 1, stderr };
    },
  };
}

test("probe() is content with a system that has everything", () => {
  assert.ok(probe(system({})).every(({ ok, hint }) => ok && hint === ""));
});

test("requireSystem() names what is missing and the command, each package once", () => {
  const lacks = system({ missing: ["nft", "nsenter", "unshare", "apt-get"] });
  assert.throws(
    () => requireSystem(lacks, () => undefined),
    /Cannot start: nft, unshare, nsenter not found \(run as root: apt-get install -y nftables util-linux\)/,
  );
});

test("requireSystem() installs what is missing when it may, and says so", () => {
  const said: string[] = [];
  requireSystem(system({ missing: ["nft"], isRoot: true, installs: true }), (line) => said.push(line));
  assert.deepEqual(said, ["Installing what is missing: apt-get install -y nftables"]);
});

test("requireSystem() says so when the installation does not work", () => {
  const lacks = system({ missing: ["nft"], isRoot: true, installs: false });
  assert.throws(() => requireSystem(lacks, () => undefined), /Cannot start: nft not found \(run: apt-get/);
});

test("requireSystem() tells refused namespaces from a kernel without nftables", () => {
  const refused = system({ stderr: "unshare: unshare failed: Operation not permitted" });
  assert.throws(
    () => requireSystem(refused, () => undefined),
    /Cannot make the cluster's namespaces: .*\(run: sudo sysctl/,
  );
  const noKernel = system({ stderr: "Error: netlink: cache initialization failed: Protocol not supported" });
  assert.throws(() => requireSystem(noKernel, () => undefined), /nftables in the kernel: .*modprobe nf_tables/);
});

test("systemPath() adds the administrators' folders once, behind the user's", () => {
  assert.equal(systemPath({ PATH: "/usr/bin:/sbin" }), "/usr/bin:/sbin:/usr/sbin");
});
