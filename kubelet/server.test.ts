/** The kubelet's API: logs with their options and refusals, statistics. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, ServerResponse } from "node:http";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { ContainerStatus, Pod, PodStatus } from "#api/core/pod.ts";
import { ManualClock } from "#lib/clock.ts";
import { logFileOf } from "./logs/log-files.ts";
import { type KubeletSource, answer, createKubeletServer } from "./server.ts";

const root = mkdtempSync(join(tmpdir(), "wherry-server-"));
after(() => rmSync(root, { recursive: true, force: true }));
const files = ["init", "web"].flatMap((name) => [0, 1].map((attempt) => logFileOf(root, "u1", name, attempt)));
for (const file of files) {
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, `${file.slice(root.length)}\nlast\n`);
}

const status = (name: string, state: ContainerStatus["state"], last = false): ContainerStatus => ({
  name,
  state,
  lastState: last ? { terminated: { exitCode: 1, reason: "Error", containerID: `wherry://u1/${name}/0` } } : {},
  ready: true,
  restartCount: 0,
  image: "",
  imageID: "",
  ...(state.running === undefined ? {} : { containerID: `wherry://u1/${name}/1` }),
});

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-1", namespace: "shop", uid: "u1" },
  spec: {
    containers: [{ name: "web" }, { name: "late" }, { name: "unseen" }],
    initContainers: [{ name: "init" }],
  },
};
const podStatus: PodStatus = {
  initContainerStatuses: [
    status("init", { terminated: { exitCode: 0, reason: "Completed", containerID: "wherry://u1/init/0" } }),
  ],
  containerStatuses: [
    status("web", { running: { startedAt: "2026-01-01T00:00:00Z" } }, true),
    status("late", { waiting: { reason: "ContainerCreating" } }),
  ],
};
const kubelet: KubeletSource = {
  runtime: { logFile: (uid, name, attempt) => logFileOf(root, uid, name, attempt), lookAtLog: () => undefined },
  findPod: (namespace, name) => (namespace === "shop" && name === "web-1" ? pod : undefined),
  statusOf: () => podStatus,
  stats: async () => ({
    node: {
      nodeName: "node1",
      cpu: { time: "", usageNanoCores: 1, usageCoreNanoSeconds: 1 },
      memory: { time: "", workingSetBytes: 1 },
    },
    pods: [],
  }),
};

/** The body of an answer, and its code. */
async function get(url: string): Promise<{ code: number; body: string }> {
  const request = { method: "GET", url };
  const response = new ServerResponse(request as IncomingMessage);
  let body = "";
  response.write = (chunk: Uint8Array | string) => ((body += chunk.toString()), true);
  response.end = ((chunk?: string) => ((body += chunk ?? ""), response)) as typeof response.end;
  await answer(request, response, kubelet, new ManualClock());
  return { code: response.statusCode, body };
}

describe("containerLogs", () => {
  const rows: readonly [query: string, body: string][] = [
    ["web", "/u1/web/1.log\nlast\n"],
    ["web?tailLines=1", "last\n"],
    ["web?previous=true", "/u1/web/0.log\nlast\n"],
    ["web?limitBytes=3", "/u1"],
    ["web?tailLines=1&timestamps=true", "2026-01-01T00:00:00.000000000Z last\n"],
    ["init", "/u1/init/0.log\nlast\n"],
  ];
  for (const [query, body] of rows) {
    it(`answers ${query}`, async () => {
      assert.deepEqual(await get(`/containerLogs/shop/web-1/${query}`), { code: 200, body });
    });
  }

  const refusals: readonly [path: string, code: string, message: string][] = [
    ["shop/web-1/late", "BadRequest", 'container "late" in pod "web-1" is waiting to start: ContainerCreating'],
    ["shop/web-1/unseen", "BadRequest", 'container "unseen" in pod "web-1" is not available'],
    ["shop/web-1/init?previous=true", "BadRequest", 'previous terminated container "init" in pod "web-1" not found'],
    ["shop/web-1/..%2Fweb", "NotFound", 'container "../web" not found in pod "web-1"'],
    ["shop/none/web", "NotFound", 'pod "none" does not exist on this node'],
    ["shop/web-1/web?tailLines=-1", "BadRequest", 'Cannot read tailLines: "-1", wanted an integer >= 0'],
    ["shop/web-1/web?limitBytes=0", "BadRequest", 'Cannot read limitBytes: "0", wanted an integer >= 1'],
    ["shop/web-1/web?sinceTime=now", "BadRequest", 'Cannot read sinceTime: "now", wanted RFC 3339'],
    ["shop/web-1/web?follow=maybe", "BadRequest", 'Cannot read follow: "maybe", wanted true or false'],
    [
      "shop/web-1/web?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
      "BadRequest",
      "at most one of `sinceTime` or `sinceSeconds` may be specified",
    ],
  ];
  for (const [path, code, message] of refusals) {
    it(`refuses ${path}`, async () => {
      await assert.rejects(get(`/containerLogs/${path}`), { code, message });
    });
  }

  it("refuses a path that is not percent-encoded", async () => {
    await assert.rejects(get("/containerLogs/%zz/web-1/web"), { code: "BadRequest" });
  });
});

describe("answer()", () => {
  it("knows statistics, health and no other path", async () => {
    assert.equal((await get("/healthz")).body, "ok");
    const summary = JSON.parse((await get("/stats/summary")).body) as { node: { nodeName: string } };
    assert.equal(summary.node.nodeName, "node1");
    assert.equal((await get("/exec/shop/web-1/web")).code, 404);
  });
});

describe("createKubeletServer()", () => {
  const pki = mkdtempSync(join(root, "pki-"));
  const read = (file: string): string => readFileSync(join(pki, file), "utf8");
  /** A key pair in `file`.crt and .key, signed by the one in ca.crt, or by itself when it is that one. */
  const issue = (file: string, subject: string): { cert: string; key: string } => {
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const out = ["-subj", subject, "-keyout", join(pki, `${file}.key`), "-out", join(pki, `${file}.crt`)];
    const leaf = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
    const signer = file === "ca" ? [] : ["-CA", join(pki, "ca.crt"), "-CAkey", join(pki, "ca.key"), ...leaf];
    execFileSync("openssl", ["req", ...kind, ...out, ...signer], { stdio: "ignore" });
    return { cert: read(`${file}.crt`), key: read(`${file}.key`) };
  };

  it("answers the API server alone, not others with a certificate of the CA", async () => {
    const { cert: ca } = issue("ca", "/CN=ca");
    const node = issue("node", "/O=system:nodes/CN=system:node:node2");
    const apiServer = issue("api", "/CN=kube-apiserver-kubelet-client");
    const server = createKubeletServer({ kubelet, clock: new ManualClock(), tls: { ca, ...node } });
    await once(server.listen(0, "127.0.0.1"), "listening");
    try {
      const { port } = server.address() as AddressInfo;
      const codeFor = async (pair: { cert: string; key: string }, path: string): Promise<number | undefined> => {
        const [answered] = (await once(request({ port, path, host: "127.0.0.1", ca, ...pair }).end(), "response")) as [
          IncomingMessage,
        ];
        answered.resume();
        return answered.statusCode;
      };
      assert.equal(await codeFor(apiServer, "/stats/summary"), 200);
      for (const path of ["/stats/summary", "/containerLogs/shop/web-1/web", "/none"])
        assert.equal(await codeFor(node, path), 403, path);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
