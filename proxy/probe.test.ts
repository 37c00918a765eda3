import assert from "node:assert/strict";
import test from "node:test";
import type { Exec } from "./l4/exec.ts";
import { FakeNft } from "./l4/nft/fake.ts";
import { probeNftables } from "./probe.ts";

const answering =
  (stderr: string): Exec =>
  () =>
    Promise.resolve({ exitCode: 1, stdout: "", stderr });

test("probeNftables() says what is missing, and leaves nothing behind", async () => {
  const nft = new FakeNft();
  assert.equal(await probeNftables(nft.exec), undefined);
  assert.deepEqual(nft.tableNames, []);
  assert.match((await probeNftables(answering("Error: Operation not permitted\n…"))) ?? "", /wanted CAP_NET_ADMIN/);
  assert.match((await probeNftables(answering("Error: syntax error"))) ?? "", /wanted nft >= 1.0 and kernel >= 5.15/);
  assert.equal(await probeNftables(() => Promise.reject(new Error("Cannot run nft"))), "Cannot run nft");
});
