/**
 * What a container cannot do to the host and to its own interception, as the kernel sees it. Imported by suite.ts;
 * worth most when run by root, whose containers own the host's files.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { before, describe, it } from "node:test";
import type { Mount } from "../../../kubelet/root-file-system.ts";
import { dirs, kill, logOf, run, runtime, says, start } from "./containers.ts";

describe("a container's root", () => {
  it("has only harmless devices, which work", async () => {
    const { output } = await run("cd /dev; ls; echo x >null; echo x >shm/x && cat shm/x; head -c 3 urandom | wc -c");
    const allowed = "fd full null ptmx pts random shm stderr stdin stdout termination-log tty urandom zero x 3".split(
      " ",
    );
    const seen = output.trim().split("\n");
    assert.deepEqual(
      seen.filter((name) => !allowed.includes(name)),
      [],
      output,
    );
    for (const name of ["null", "urandom", "shm", "fd", "x", "3"]) assert.ok(seen.includes(name), output);
  });

  for (const path of [
    "/dev/vda",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/etc/alternatives",
    "/etc/ssl",
    "/etc/ssl/certs",
    "/usr",
    "/usr/bin/node",
    "/opt/node/bin/node",
  ]) {
    it(`refuses to have written: ${path}`, async () => {
      const { exitCode, output } = await run(`if test -w ${path}; then exit 1; fi; : 2>&1 >>${path}/x || exit 0`);
      assert.ok(exitCode !== 1, output);
    });
  }

  it("shows nothing of the kernel's memory and keys, nor private keys", async () => {
    const { output } = await run(
      "cat /proc/kcore /proc/keys /proc/timer_list; ls -A /sys/firmware; ls -A /etc/ssl/private",
    );
    const lines = output.split("\n").filter((line) => line !== "" && !line.endsWith("No such file or directory"));
    assert.deepEqual(lines, []);
  });

  it("lets ps, a shell and Node work", async () => {
    const { output } = await run(
      "ps ax -o comm=; sh -c 'echo shell'; node -p '\"node \" + require(\"os\").cpus().length'",
    );
    assert.match(output, /^ps$/m);
    assert.match(output, /^shell$/m);
    assert.match(output, /^node [1-9]/m);
  });

  it("can be made of folders on file systems whose flags are locked", async () => {
    const mounts = [{ source: "/mnt", target: "/locked", readOnly: true }];
    const { exitCode, output } = await run("grep ' /locked ' /proc/self/mountinfo; ! touch /locked/x", { mounts });
    assert.equal(exitCode, 0, output);
    assert.match(output, / \/locked ro,nosuid,nodev,noexec/);
  });
});

describe("a container's privileges", () => {
  it("do not include what suffices to set a socket's mark, nor to leave its namespaces", async () => {
    const { output } = await run("grep ^Cap /proc/self/status");
    const sets = [...output.matchAll(/^(Cap\w+):\s*([0-9a-f]+)$/gm)];
    assert.equal(sets.length, 5);
    const forbidden = { net_admin: 12n, net_raw: 13n, sys_module: 16n, sys_ptrace: 19n, sys_admin: 21n, mknod: 27n };
    for (const [, set, mask] of sets) {
      for (const [name, bit] of Object.entries(forbidden))
        assert.equal((BigInt(`0x${mask}`) >> bit) & 1n, 0n, `${name} in ${set}`);
    }
  });

  it("suffice to ping", async () => {
    assert.match((await run("cat /proc/sys/net/ipv4/ping_group_range")).output, /^0\s+0$/m);
    const { exitCode, output } = await run("command -v ping >/dev/null || exit 0; ping -c 1 -W 2 10.244.1.2");
    assert.equal(exitCode, 0, output);
  });
});

describe("a container's environment", () => {
  const env = { PATH: "/nowhere", LD_PRELOAD: "/data/none.so", QUOTED: "it's $HOME" };

  it("reaches its program and commands run in it, whole; nothing of the kubelet's does", async () => {
    process.env["AGENT_TOKEN"] = "secret";
    try {
      const container = await start(["/bin/sh", "-c", "/usr/bin/env; echo up; /usr/bin/sleep 60"], { env });
      await says(container, "up");
      const { output, exitCode } = await runtime.exec(container, ["/usr/bin/env"], 5000);
      assert.equal(exitCode, 0, output);
      for (const text of [logOf(container), output]) {
        const lines = text.split("\n").filter((line) => line !== "up" && /^\w+=/.test(line));
        const names = lines.map((line) => line.slice(0, line.indexOf("=")));
        assert.deepEqual(names.filter((name) => !["PWD", "OLDPWD", "_"].includes(name)).sort(), [
          "LD_PRELOAD",
          "PATH",
          "QUOTED",
          "WHERRY_CLUSTER",
        ]);
        assert.ok(lines.includes("QUOTED=it's $HOME"), text);
      }
      const kept = `${dirs.containerDir(container.podUid, container.name)}/env.json`;
      assert.equal(statSync(kept).mode & 0o777, 0o600);
      await kill(container);
    } finally {
      delete process.env["AGENT_TOKEN"];
    }
  });
});

describe("a container's mounts", () => {
  const volume = "/run/wherry/volume";
  const outside = "/run/wherry/outside";

  before(() => {
    for (const dir of [volume, outside]) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir, { recursive: true });
    }
    symlinkSync(outside, `${volume}/link`);
    symlinkSync("/tmp", `${volume}/tmp`);
    mkdirSync(`${volume}/folder`);
  });

  it("refuse a source that leaves its volume by a link", async () => {
    const mounts = [{ source: `${volume}/link`, target: "/data", readOnly: false, within: volume }];
    const { exitCode, output } = await run("touch /data/x", { mounts });
    assert.notEqual(exitCode, 0);
    assert.equal(output, "Cannot mount /data: a link leads out of the volume, wanted a path inside\n");
    assert.deepEqual(readdirSync(outside), []);
  });

  it("take a source that stays in its volume", async () => {
    const mounts = [{ source: `${volume}/folder`, target: "/a b/data", readOnly: true, within: volume }];
    const { exitCode, output } = await run("ls '/a b/data' && ! touch '/a b/data/x'", { mounts });
    assert.equal(exitCode, 0, output);
  });

  it("follow a link at the target no further than the root", async () => {
    const at = (target: string): Mount[] => [
      { source: volume, target: "/data", readOnly: false, within: volume },
      { source: `${volume}/folder`, target, readOnly: true, within: volume },
    ];
    assert.notEqual((await run("true", { mounts: at("/data/link/deep") })).exitCode, 0);
    assert.deepEqual(readdirSync(outside), []);
    const { exitCode, output } = await run("grep -q ' /tmp/deep ' /proc/self/mountinfo", {
      mounts: at("/data/tmp/deep"),
    });
    assert.equal(exitCode, 0, output);
    assert.ok(!existsSync("/tmp/deep"));
  });
});
