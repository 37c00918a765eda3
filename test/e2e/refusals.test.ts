/**
 * Wrong input and broken systems: one sentence that says what, where and what was wanted; nothing half-made.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Done, type TestCluster, createTestCluster, runCommand } from "./cluster.ts";
import { readHost } from "./host.ts";
import { clusterProcesses } from "./processes.ts";

const wherry = join(import.meta.dirname, "..", "..", "wherry");

/** One sentence on standard error and the exit status. */
function refuses({ status, stdout, stderr }: Done, wanted: number, sentence: RegExp): void {
  assert.equal(stdout, "");
  assert.match(stderr, sentence);
  assert.equal(
    stderr
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("(see")).length,
    1,
    stderr,
  );
  assert.equal(status, wanted);
}

describe("a cluster that runs", () => {
  let cluster: TestCluster;
  let folder = "";

  before(async () => {
    cluster = createTestCluster();
    folder = mkdtempSync(join(tmpdir(), "wherry-manifests-"));
    await cluster.run("up", "--detach", "--nodes", "1");
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const apply = (text: string): Promise<Done> => {
    const file = join(folder, "input.yaml");
    writeFileSync(file, text);
    return cluster.attempt("apply", "-f", file);
  };

  it("says where YAML is broken", async () => {
    refuses(await apply("apiVersion: v1\nkind: [\n"), 1, /^wherry: Cannot parse .*input\.yaml:\d+:\d+: /);
  });

  it("names an unknown kind, and what there is", async () => {
    refuses(
      await apply("apiVersion: v1\nkind: Pot\nmetadata: { name: x }\n"),
      1,
      /unknown kind Pot in v1, wanted one of .*Pod/,
    );
  });

  it("names an unknown field by its path", async () => {
    const text = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndatta: { a: b }\n";
    refuses(await apply(text), 1, /Cannot apply .*input\.yaml:1: .*unknown field "datta"/);
  });

  it("names a wrong port by its path, value and range", async () => {
    const text = "apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { ports: [{ port: 70000 }] }\n";
    refuses(
      await apply(text),
      1,
      /spec\.ports\[0\]\.port: Invalid value: 70000: must be between 1 and 65535, inclusive/,
    );
  });

  it("refuses a file that is not there, an unknown kind to get, an object that does not exist", async () => {
    refuses(await cluster.attempt("apply", "-f", join(folder, "none.yaml")), 1, /Cannot read .*none\.yaml: ENOENT/);
    refuses(await cluster.attempt("get", "pots"), 64, /Cannot find kind "pots": wanted one of .*pods/);
    refuses(await cluster.attempt("get", "pod", "none"), 1, /pods "none" not found/);
  });

  it("shows objects in each form, and what a pod wrote", async () => {
    const text =
      "apiVersion: v1\nkind: Pod\nmetadata: { name: says }\nspec: { containers: [{ name: a, image: wherry.dev/pause, command: [sh, -c, 'echo one; echo two; sleep 60'] }] }\n";
    assert.equal((await apply(text)).status, 0);
    let seen = "";
    for (let tries = 0; tries < 100 && !seen.includes("two"); tries += 1) {
      seen = (await cluster.attempt("logs", "says")).stdout;
      await sleep(50);
    }
    assert.equal(seen, "one\ntwo\n");
    assert.equal(await cluster.run("logs", "says", "--tail", "1"), "two\n");
    assert.match(await cluster.run("get", "pods"), /^NAME +READY +STATUS +RESTARTS +AGE\nsays +1\/1 +Running +0 /);
    assert.match(
      await cluster.run("get", "pod/says", "-o", "wide"),
      /IP +NODE +NOMINATED NODE +READINESS GATES\n.* 10\.244\.1\.\d+ +node1/,
    );
    assert.equal(await cluster.run("get", "po", "-o", "name"), "pod/says\n");
    assert.match(await cluster.run("get", "pod", "says", "-o", "yaml"), /^ {2}name: says$/m);
    assert.equal(await cluster.run("delete", "pod", "says", "--grace-period", "0"), "pod/says deleted\n");
    refuses(await cluster.attempt("logs", "says"), 1, /pods "says" not found/);
  });

  it("explains an image without a mapping on the pod, and the rest goes on", async () => {
    const text =
      "apiVersion: v1\nkind: Pod\nmetadata: { name: unmapped }\nspec: { containers: [{ name: a, image: example.org/none }] }\n";
    assert.equal((await apply(text)).status, 0);
    let seen = "";
    for (let tries = 0; tries < 100 && !seen.includes("image map"); tries += 1) {
      seen = await cluster.run("get", "pod", "unmapped", "-o", "json");
      await sleep(50);
    }
    assert.match(seen, /Cannot resolve image \\"example\.org\/none\\": no entry in the image map/);
    assert.match(await cluster.run("get", "pods"), /unmapped .* ErrImagePull|unmapped .* ImagePullBackOff/);
    await cluster.run("delete", "pod", "unmapped");
  });
});

describe("wherry up", () => {
  /** Runs the command line with a state folder of its own; nothing may be left of it. */
  const attempt = async (args: readonly string[], prefix: readonly string[] = []): Promise<Done> => {
    const stateHome = mkdtempSync(join(tmpdir(), "wherry-test-"));
    const name = `refused-${process.pid}`;
    const before = readHost();
    try {
      const env = { ...process.env, XDG_STATE_HOME: stateHome, XDG_CONFIG_HOME: stateHome };
      const [verb = "", ...rest] = args;
      const done = await runCommand([...prefix, wherry, verb, "--name", name, ...rest], env);
      assert.deepEqual(clusterProcesses(name), []);
      assert.equal(readHost().links, before.links);
      return done;
    } finally {
      rmSync(stateHome, { recursive: true, force: true });
    }
  };

  for (const nodes of ["0", "-1", "251", "two"]) {
    it(`refuses --nodes ${nodes}`, async () => {
      refuses(
        await attempt(["up", "--detach", `--nodes=${nodes}`]),
        64,
        /Cannot use --nodes .*: wanted a whole number from 1 to 250/,
      );
    });
  }

  it("refuses unknown commands, options and names with usage", async () => {
    assert.equal((await runCommand([wherry, "upp"])).status, 64);
    assert.equal((await runCommand([wherry, "up", "--nodez"])).status, 64);
    refuses(
      await runCommand([wherry, "up", "--detach", "--name", "Not/Good"]),
      64,
      /Cannot use cluster name "Not\/Good": wanted a DNS label/,
    );
  });

  it("refuses ports that are no ports", async () => {
    refuses(
      await attempt(["up", "--detach", "-p", "70000=svc/x:80"]),
      64,
      /Cannot publish "70000=svc\/x:80": port 70000, wanted 1 to 65535/,
    );
    refuses(await attempt(["up", "--detach", "-p", "8080"]), 64, /Cannot publish "8080": wanted \[ADDR:\]PORT=/);
  });

  it("refuses a port in use, and names it", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    try {
      refuses(
        await attempt(["up", "--detach", "-p", `${port}=svc/x:80`]),
        1,
        new RegExp(`Cannot publish 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
      );
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("says which program is missing, and what installs it", async () => {
    // In a mount namespace of its own, where nft is no program.
    const hide =
      'n=$(PATH=$PATH:/usr/sbin command -v nft); a=$(command -v apt-get); mount --bind /dev/null "$n"; [ -z "$a" ] || mount --bind /dev/null "$a"; exec "$@"';
    const prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", hide, "sh"];
    refuses(
      await attempt(["up", "--detach"], prefix),
      1,
      /Cannot start: nft not found \(run(?: as root)?: apt-get install -y nftables\)/,
    );
  });

  it("says that user namespaces are refused, and what helps", async () => {
    const refuse = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"';
    const prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", refuse, "sh"];
    refuses(await attempt(["up", "--detach"], prefix), 1, /Cannot make the cluster's namespaces: .*\(run: .*\)/);
  });

  it("starts one cluster of two that are started at the same moment, and it stays up", async () => {
    await using cluster = createTestCluster();
    const both = await Promise.all([1, 2].map(() => cluster.attempt("up", "--detach", "--nodes", "1")));
    assert.ok(both.some(({ status }) => status === 0));
    for (const { status, stderr } of both) if (status !== 0) assert.match(stderr, /is starting or running it/);
    assert.equal((await cluster.attempt("status")).status, 0);
  });

  it("refuses an image map that is wrong, with file and field", async () => {
    const folder = mkdtempSync(join(tmpdir(), "wherry-images-"));
    const file = join(folder, "images.yaml");
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, "images:\n  - image: x\n    comand: [a]\n");
    try {
      refuses(
        await attempt(["up", "--detach", "--images", file]),
        1,
        /Cannot read image map .*images\.yaml: images\[0\]\.comand: wanted one of/,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
