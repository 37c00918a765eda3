/** The examples of CoreDNS' documentation, plugin by plugin: they parse, and what they promise is so. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Answer, DecodedPacket } from "dns-packet";
import { PushedCluster } from "./cluster-source.ts";
import { type Ask, files, rows } from "./documentation-rows.ts";
import { fixture, named } from "./fixture.ts";
import { serveCorefile, startUpstream } from "./plugin-fixture.ts";
import { pluginOrder } from "./registry.ts";

function textOf(record: Answer): string {
  if (record.type === "OPT") return "";
  if (record.type === "SRV") return `SRV ${record.data.port}`;
  const { type, data } = record as { readonly type: string; readonly data: unknown };
  return type === "HINFO" ? `HINFO ${(data as { readonly cpu: string }).cpu}` : `${type} ${String(data)}`;
}

/** As `Ask` has it. */
function format(packet: DecodedPacket | undefined, showsMore: boolean): string {
  if (packet === undefined) return "-";
  const { rcode, answers = [], additionals = [] } = packet;
  const sent = answers.filter((record) => record.type !== "CNAME").map(textOf);
  const [opt] = additionals.filter(({ type }) => type === "OPT");
  const options = opt?.type === "OPT" ? (opt.options as readonly { code: number; data: Buffer }[]) : [];
  const errors = options
    .filter(({ code }) => code === 15)
    .map(({ data }) => `EDE ${data.readUInt16BE(0)} ${String(data.subarray(2))}`);
  const own = additionals.filter(({ type }) => type !== "OPT").map(textOf);
  const more = showsMore ? [`+ ${own.join(", ")}`] : [];
  return [rcode, ...sent, ...errors, ...more].join(" ");
}

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
      const text = format(packet, plugin === "whoami");
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
