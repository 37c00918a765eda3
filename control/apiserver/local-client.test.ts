/** Tests of the client in process, of authentication by certificate, and of the client of kubelets. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { type Binding, bindings } from "#api/core/binding.ts";
import { type ConfigMap, configMaps } from "#api/core/configmap.ts";
import { namespaces } from "#api/core/namespace.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { isAlreadyExists, isConflict, isNotFound, StatusError } from "#api/status.ts";
import { authenticate, bearerTokens, clientCertificates } from "./authn.ts";
import { createKubeletClient } from "./kubelet-client.ts";
import { withServer } from "./testbed.ts";

function configMap(name: string, data: Readonly<Record<string, string>> = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" }, data };
}

test("LocalClient reads what it wrote, frozen, and fails with StatusError", async () => {
  await withServer(async ({ client }) => {
    const created = await client.create(configMaps, configMap("a", { x: "1" }));
    assert.ok(Object.isFrozen(created.data));
    assert.equal(await client.get(configMaps, { namespace: "default", name: "a" }), created);
    await assert.rejects(client.create(configMaps, configMap("a")), isAlreadyExists);
    const updated = await client.update(configMaps, { ...created, data: { x: "2" } });
    await assert.rejects(client.update(configMaps, { ...created, data: { x: "3" } }), isConflict);
    const patched = await client.patch(configMaps, { namespace: "default", name: "a" }, { data: { y: "1" } });
    assert.deepEqual(patched.data, { x: "2", y: "1" });
    assert.ok(Number(patched.metadata.resourceVersion) > Number(updated.metadata.resourceVersion));
    assert.equal((await client.list(configMaps, { namespace: "default" })).items.length, 1);
    await client.delete(configMaps, { namespace: "default", name: "a" });
    await assert.rejects(client.get(configMaps, { namespace: "default", name: "a" }), isNotFound);
    await assert.rejects(
      client.create(configMaps, { ...configMap("b"), unknown: 1 } as ConfigMap),
      (error) => error instanceof StatusError && error.code === "BadRequest",
    );
  });
});

test("LocalClient.watch() gives the state, then changes, and ends when aborted", async () => {
  await withServer(async ({ client }) => {
    await client.create(configMaps, configMap("a"));
    const stop = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of client.watch(configMaps, { namespace: "default" }, stop.signal)) {
        if (event.type === "ERROR" || event.type === "BOOKMARK") continue;
        seen.push(`${event.type} ${event.object.metadata.name}`);
        if (seen.length === 3) stop.abort();
      }
    })();
    await client.create(configMaps, configMap("b"));
    await client.delete(configMaps, { namespace: "default", name: "a" });
    await reading;
    assert.deepEqual(seen, ["ADDED a", "ADDED b", "DELETED a"]);
  });
});

test("LocalClient binds pods, also through a create of bindings, and finalizes namespaces", async () => {
  await withServer(async ({ client }) => {
    const pod = (name: string): Pod => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: { containers: [{ name: "a", image: "a" }] },
    });
    await client.create(pods, pod("p"));
    await client.create(pods, pod("q"));
    assert.equal((await client.bind({ namespace: "default", name: "p" }, "n1")).spec.nodeName, "n1");
    const binding: Binding = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name: "q", namespace: "default" },
      target: { kind: "Node", name: "n2" },
    };
    await client.create(bindings, binding);
    assert.equal((await client.list(pods, { fieldSelector: "spec.nodeName=n2" })).items[0]?.metadata.name, "q");
    await assert.rejects(client.create(bindings, binding), isConflict);
    await client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
    await client.delete(namespaces, { name: "shop" });
    await client.finalize("shop", []);
    await assert.rejects(client.get(namespaces, { name: "shop" }), isNotFound);
  });
});

test("authenticate() takes certificates and tokens, and nothing else", () => {
  const admin = { name: "admin", groups: ["system:masters"] };
  const authenticators = [clientCertificates, bearerTokens(new Map([["secret", admin]]))];
  const certificate = { commonName: "kubelet", organizations: ["system:nodes"] };
  const groups = (name: string): readonly string[] => [name, "system:authenticated"];
  assert.deepEqual(authenticate(authenticators, { certificate, authorization: undefined }), {
    name: "kubelet",
    groups: groups("system:nodes"),
  });
  assert.deepEqual(authenticate(authenticators, { certificate: undefined, authorization: "bearer secret" }), {
    name: "admin",
    groups: groups("system:masters"),
  });
  for (const authorization of [undefined, "", "Bearer", "Bearer ", "Bearer secre", "Bearer secretx", "Basic secret"])
    assert.throws(
      () => authenticate(authenticators, { certificate: undefined, authorization }),
      (error) => error instanceof StatusError && error.code === "Unauthorized",
    );
});

test("createKubeletClient() streams a log, and tells what a kubelet refuses", async () => {
  const paths: string[] = [];
  const kubelet = createServer((request, response) => {
    paths.push(request.url ?? "");
    if (request.url?.includes("/missing?") === true) response.writeHead(404).end("no such container\n");
    else response.end("hello\n");
  });
  await new Promise<void>((resolve) => kubelet.listen(0, "127.0.0.1", resolve));
  const client = createKubeletClient({ tls: undefined, timeoutMs: 5000 });
  const { port } = kubelet.address() as AddressInfo;
  const target = (container: string, at = port): Parameters<typeof client.openLog>[0] => ({
    address: "127.0.0.1",
    port: at,
    namespace: "default",
    pod: "p",
    container,
    query: new URLSearchParams({ tailLines: "3" }),
    isUnverified: false,
  });
  const { signal } = new AbortController();
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await client.openLog(target("app"), signal)) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), "hello\n");
    assert.deepEqual(paths, ["/containerLogs/default/p/app?tailLines=3"]);
    await assert.rejects(
      client.openLog(target("missing"), signal),
      /could not find the requested resource \( pods\/log p\)$/,
    );
  } finally {
    await client.close();
    kubelet.closeAllConnections();
    await new Promise((resolve) => kubelet.close(resolve));
  }
  const after = createKubeletClient({ tls: undefined, timeoutMs: 5000 });
  try {
    await assert.rejects(
      after.openLog(target("app"), signal),
      (error) => error instanceof StatusError && error.code === "ServiceUnavailable",
    );
  } finally {
    await after.close();
  }
});
