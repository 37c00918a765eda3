/** Volumes as folders, and where they are mounted. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { Container, Pod, Volume } from "#api/core/pod.ts";
import { PodDirs } from "../pod-dirs.ts";
import type { References } from "../references.ts";
import type { VolumeSources } from "./payload.ts";
import { makeVolumes, planMounts, refreshVolumes } from "./volumes.ts";

const root = mkdtempSync(join(tmpdir(), "wherry-volumes-"));
after(() => rmSync(root, { recursive: true, force: true }));
const dirs = new PodDirs(root);
const bytes = Buffer.from("text");
const references: References = {
  configMap: async (_, name) =>
    name === "settings"
      ? new Map([
          ["a", bytes],
          ["b", bytes],
        ])
      : undefined,
  secret: async (_, name) => (name === "token" ? new Map([["key", Buffer.from([0, 255])]]) : undefined),
};

const sources: VolumeSources = {
  references,
  tokens: { token: async () => "t0ken" },
  allocatable: { cpus: 4, memory: 2 ** 30, storage: 2 ** 33 },
};

let pods = 0;
function podWith(volumes: readonly Volume[]): Pod {
  pods += 1;
  const metadata = { name: "web", namespace: "shop", uid: `u${pods}` };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [], volumes } };
}
const dirOf = (pod: Pod, volume: string): string => dirs.volumeDir(pod.metadata.uid ?? "", volume);
const isVisible = (name: string): boolean => !name.startsWith("..");
const mounting = (...volumeMounts: NonNullable<Container["volumeMounts"]>): Container => ({
  name: "web",
  volumeMounts,
});

describe("makeVolumes()", () => {
  it("makes an emptyDir that every user may write", async () => {
    const pod = podWith([{ name: "data", emptyDir: {} }]);
    await makeVolumes(pod, dirs, sources, 0);
    assert.equal(statSync(dirOf(pod, "data")).mode & 0o777, 0o777);
  });

  it("writes every key of a ConfigMap, or the items asked for", async () => {
    const items = [{ key: "a", path: "deep/er/a.txt", mode: 0o666 }];
    const pod = podWith([
      { name: "all", configMap: { name: "settings", defaultMode: 0o440 } },
      { name: "some", configMap: { name: "settings", items } },
    ]);
    await makeVolumes(pod, dirs, sources, 0);
    assert.deepEqual(readdirSync(dirOf(pod, "all")).filter(isVisible).sort(), ["a", "b"]);
    assert.equal(statSync(join(dirOf(pod, "all"), "a")).mode & 0o777, 0o440);
    const file = join(dirOf(pod, "some"), "deep/er/a.txt");
    assert.equal(readFileSync(file, "utf8"), "text");
    assert.equal(statSync(file).mode & 0o777, 0o666);
  });

  it("writes a Secret's bytes as they are, also when it is made a second time", async () => {
    const pod = podWith([{ name: "keys", secret: { secretName: "token", defaultMode: 0o400 } }]);
    await makeVolumes(pod, dirs, sources, 0);
    await makeVolumes(pod, dirs, sources, 0);
    assert.deepEqual([...readFileSync(join(dirOf(pod, "keys"), "key"))], [0, 255]);
  });

  it("leaves the folder of an optional ConfigMap that is missing empty", async () => {
    const pod = podWith([{ name: "all", configMap: { name: "none", optional: true } }]);
    await makeVolumes(pod, dirs, sources, 0);
    assert.deepEqual(readdirSync(dirOf(pod, "all")).filter(isVisible), []);
  });

  const refused: readonly [what: string, volume: Volume, message: RegExp][] = [
    ["a missing ConfigMap", { name: "v", configMap: { name: "none" } }, / configmap "none" not found$/],
    ["a missing Secret", { name: "v", secret: { secretName: "none" } }, / secret "none" not found$/],
    [
      "a missing key",
      { name: "v", configMap: { name: "settings", items: [{ key: "c", path: "c" }] } },
      / references non-existent config key: c$/,
    ],
    ["a volume of no kind", { name: "v" }, / Cannot mount nothing: wanted emptyDir, /],
    ...["../x", "/etc/x", "a/../../x", ".."].map((path): [string, Volume, RegExp] => [
      `the path ${path}`,
      { name: "v", configMap: { name: "settings", items: [{ key: "a", path }] } },
      / Cannot use path ".*": wanted one inside the volume$/,
    ]),
  ];
  for (const [what, volume, message] of refused) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(makeVolumes(podWith([volume]), dirs, sources, 0), {
        code: "FailedMount",
        message,
      });
    });
  }
});

describe("projected volumes", () => {
  it("hold tokens that their owner alone may read, fields of the pod, and what else is asked for", async () => {
    const pod = {
      ...podWith([
        {
          name: "v",
          projected: {
            sources: [
              { serviceAccountToken: { path: "token" } },
              { configMap: { name: "settings", items: [{ key: "a", path: "a" }] } },
              { downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
            ],
          },
        },
      ]),
      metadata: { name: "web", namespace: "shop", uid: "projected", labels: { b: 'x"y', a: "1" } },
    };
    await makeVolumes(pod, dirs, sources, 0);
    const at = (file: string): string => join(dirOf(pod, "v"), file);
    assert.equal(readFileSync(at("token"), "utf8"), "t0ken");
    assert.equal(statSync(at("token")).mode & 0o777, 0o600);
    assert.equal(readFileSync(at("labels"), "utf8"), 'a="1"\nb="x\\"y"');
    assert.equal(readFileSync(at("a"), "utf8"), "text");
  });

  it("are replaced as a whole when what they are made of changes, and left alone when not", async () => {
    const pod = podWith([{ name: "v", configMap: { name: "settings" } }]);
    await makeVolumes(pod, dirs, sources, 0);
    const before = readlinkSync(join(dirOf(pod, "v"), "..data"));
    assert.deepEqual(await refreshVolumes(pod, dirs, sources, 1000), []);
    assert.equal(readlinkSync(join(dirOf(pod, "v"), "..data")), before);
    const changed = { ...references, configMap: async () => new Map([["c", Buffer.from("new")]]) };
    await refreshVolumes(pod, dirs, { ...sources, references: changed }, 2000);
    assert.deepEqual(readdirSync(dirOf(pod, "v")).filter(isVisible), ["c"]);
    assert.equal(readFileSync(join(dirOf(pod, "v"), "c"), "utf8"), "new");
    assert.equal(existsSync(join(dirOf(pod, "v"), before)), false);
  });

  it("keep what they have while it cannot be read anew", async () => {
    const pod = podWith([{ name: "v", configMap: { name: "settings" } }]);
    await makeVolumes(pod, dirs, sources, 0);
    const away = { ...references, configMap: () => Promise.reject(new Error("away")) };
    assert.deepEqual(await refreshVolumes(pod, dirs, { ...sources, references: away }, 1000), ["away"]);
    assert.equal(readFileSync(join(dirOf(pod, "v"), "a"), "utf8"), "text");
  });

  it("give a subPath the file behind their links", async () => {
    const pod = podWith([{ name: "v", configMap: { name: "settings" } }]);
    await makeVolumes(pod, dirs, sources, 0);
    const [mount] = planMounts(pod, mounting({ name: "v", mountPath: "/f", subPath: "a" }), dirs);
    assert.match(mount?.source ?? "", /\.\.1970_01_01_00_00_00\.0\/a$/);
    const none = mounting({ name: "v", mountPath: "/f", subPath: "none" });
    assert.throws(() => planMounts(pod, none, dirs), /the volume has no such file/);
  });
});

describe("planMounts()", () => {
  it("mounts an emptyDir writable, a ConfigMap read-only, a target always absolute", () => {
    const pod = podWith([
      { name: "data", emptyDir: {} },
      { name: "conf", configMap: { name: "settings" } },
    ]);
    const container = mounting(
      { name: "data", mountPath: "cache/../data" },
      { name: "data", mountPath: "/ro", readOnly: true },
      { name: "conf", mountPath: "../../etc/conf" },
    );
    assert.deepEqual(planMounts(pod, container, dirs), [
      { source: dirOf(pod, "data"), target: "/data", readOnly: false, within: dirOf(pod, "data") },
      { source: dirOf(pod, "data"), target: "/ro", readOnly: true, within: dirOf(pod, "data") },
      { source: dirOf(pod, "conf"), target: "/etc/conf", readOnly: true, within: dirOf(pod, "conf") },
    ]);
  });

  it("mounts what lies in another mount after it", () => {
    const pod = podWith([{ name: "data", emptyDir: {} }]);
    const paths = ["/a/b/c", "/a", "/d", "/a/b"].map((mountPath) => ({ name: "data", mountPath }));
    const targets = planMounts(pod, mounting(...paths), dirs).map(({ target }) => target);
    assert.deepEqual(targets, ["/a", "/d", "/a/b", "/a/b/c"]);
  });

  it("makes the folder of a subPath of an emptyDir", async () => {
    const pod = podWith([{ name: "data", emptyDir: {} }]);
    await makeVolumes(pod, dirs, sources, 0);
    const [mount] = planMounts(pod, mounting({ name: "data", mountPath: "/d", subPath: "a/b" }), dirs);
    assert.equal(mount?.source, join(dirOf(pod, "data"), "a/b"));
    assert.ok(existsSync(mount.source));
  });

  it("refuses a subPath that leaves the volume, by .. or by a link that a container made", async () => {
    const pod = podWith([{ name: "data", emptyDir: {} }]);
    await makeVolumes(pod, dirs, sources, 0);
    symlinkSync("/etc", join(dirOf(pod, "data"), "way"));
    for (const subPath of ["../other", "way", "way/ssl"]) {
      const container = mounting({ name: "data", mountPath: "/d", subPath });
      assert.throws(() => planMounts(pod, container, dirs), /Cannot use path/);
    }
  });

  it("refuses a mount without volume", () => {
    const container = mounting({ name: "none", mountPath: "/d" });
    assert.throws(() => planMounts(podWith([]), container, dirs), {
      message: 'Cannot mount "none": the pod has no such volume',
    });
  });
});
