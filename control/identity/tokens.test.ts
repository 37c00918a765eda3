import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { createTokenSigner, makeTokenKey, openTokenSigner } from "./tokens.ts";

describe("createTokenSigner()", () => {
  it("verifies what it signed, and nothing else", () => {
    const signer = createTokenSigner(makeTokenKey());
    const token = signer.sign({ sub: "someone" });
    assert.deepEqual(signer.verify(token), { sub: "someone" });
    const [head = "", body = "", signature = ""] = token.split(".");
    const forged = Buffer.from('{"sub":"other"}').toString("base64url");
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    const others = [
      "",
      "x",
      "..",
      `${head}.${forged}.${signature}`,
      `${none}.${body}.`,
      `${head}.${body}.`,
      `${token}.x`,
    ];
    for (const text of [...others, `${token}${"x".repeat(20_000)}`, createTokenSigner(makeTokenKey()).sign({})])
      assert.equal(signer.verify(text), undefined, text.slice(0, 40));
  });

  it("publishes its public half only", () => {
    const [key] = createTokenSigner(makeTokenKey()).keys.keys;
    assert.deepEqual(Object.keys(key ?? {}).sort(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
  });
});

describe("openTokenSigner()", () => {
  it("makes a key once, which only its owner can read", () => {
    const dir = mkdtempSync(join(tmpdir(), "tokens-"));
    try {
      const token = openTokenSigner(join(dir, "pki")).sign({ sub: "x" });
      assert.deepEqual(openTokenSigner(join(dir, "pki")).verify(token), { sub: "x" });
      assert.equal(statSync(join(dir, "pki", "sa.key")).mode & 0o777, 0o600);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
