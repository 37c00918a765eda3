/** The examples of CoreDNS' documentation, plugin by plugin: they parse, and what they promise is so. */
import assert from "node:assert/strict";
import test from "node:test";
import { PushedCluster } from "./cluster-source.ts";
import { type Ask, files, formatResponse, rows } from "./documentation-rows.ts";
import { fixture, named } from "./fixture.ts";
import { serveCorefile, startUpstream } from "./plugin-fixture.ts";
import { pluginOrder } from "./registry.ts";

for (const [index, { plugin, corefile, asks }] of rows.entries()) {
  test(`${plugin}: example ${index + 1} of the documentation`, async (t) => {
    const { port } = await startUpstream(t);
    const cluster = new PushedCluster();
    cluster.apply(named(fixture), []);
    cluster.isSynced = true;
    const block = await serveCorefile(t, corefile.replaceAll("UPSTREAM", `127.0.0.1:${port}`), { cluster, files });
    const found: Ask[] = [];
    for (const [query, , client] of asks) {
      const packet = await block.ask(query, { edns: 1232, ...(client === undefined ? {} : { client }) });
      const text = formatResponse(packet, plugin === "whoami");
      found.push(client === undefined ? [query, text] : [query, text, client]);
    }
    assert.deepEqual(found, asks);
    assert.deepEqual(block.fatal, []);
  });
}

test("every plugin has an example of the documentation", () => {
  const shown = new Set(rows.map(({ plugin }) => plugin));
  assert.deepEqual(
    pluginOrder.map(({ name }) => name).filter((name) => !shown.has(name)),
    [],
  );
});
