/**
 * `wherry proxy` against the API of a running cluster, from a network namespace of its own (inside.ts): the cluster's own
 * node proxies have theirs, and no namespace has two.
 *
 *   inside.ts ─ 127.0.0.1:6443 ─▶ relay ─ Unix socket ─▶ here ─▶ the cluster's published API
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { createTestCluster } from "../cluster.ts";

test("wherry proxy programs the Services of any API, and keeps them while it is gone", async (t) => {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach", "--nodes", "1");
  const text = await cluster.run("kubeconfig");
  const [, published = ""] = /server: https:\/\/127\.0\.0\.1:([0-9]+)/.exec(text) ?? [];
  const kubeconfig = join(cluster.stateHome, "kubeconfig");
  writeFileSync(kubeconfig, text.replace(published, "6443"), { mode: 0o600 });
  const path = join(cluster.stateHome, "api.sock");
  const relay = createServer((socket) => {
    const upstream = connect({ host: "127.0.0.1", port: Number(published) });
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  relay.listen(path);
  t.after(() => relay.close());
  await once(relay, "listening");
  const unshare = ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  const child = spawn(
    "unshare",
    [
      ...unshare,
      "timeout",
      "-s",
      "KILL",
      "60",
      process.execPath,
      join(import.meta.dirname, "inside.ts"),
      kubeconfig,
      path,
    ],
    { env: { ...rest, PATH: `${rest["PATH"] ?? ""}:/usr/sbin:/sbin` }, stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [status] = (await once(child, "close")) as [number];
  assert.equal(status, 0, output);
  assert.match(output, /pass [1-9]/, readFileSync(kubeconfig, "utf8").slice(0, 100));
});
