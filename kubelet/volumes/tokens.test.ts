/** Tokens of ServiceAccounts: asked for once, renewed in time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TokenRequest } from "#api/authentication/token-request.ts";
import type { Pod } from "#api/core/pod.ts";
import { ManualClock } from "#lib/clock.ts";
import { Tokens } from "./tokens.ts";

const metadata = { name: "web", namespace: "shop", uid: "u1" };
const pod: Pod = { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [], serviceAccountName: "runner" } };
const wish = { audience: undefined, expirationSeconds: 1000 };

function bench(): { clock: ManualClock; requests: TokenRequest[]; accounts: string[]; tokens: Tokens } {
  const clock = new ManualClock();
  const requests: TokenRequest[] = [];
  const accounts: string[] = [];
  const createToken = async (account: { name: string }, request: TokenRequest): Promise<TokenRequest> => {
    requests.push(request);
    accounts.push(account.name);
    const lifeMs = (request.spec.expirationSeconds ?? 0) * 1000;
    const expirationTimestamp = new Date(clock.nowMs() + lifeMs).toISOString();
    return { ...request, status: { token: `t${requests.length}`, expirationTimestamp } };
  };
  return { clock, requests, accounts, tokens: new Tokens({ createToken }, clock) };
}

describe("Tokens", () => {
  it("binds a token to the pod and asks for it once", async () => {
    const { tokens, requests, accounts } = bench();
    assert.deepEqual([await tokens.token(pod, wish), await tokens.token(pod, wish)], ["t1", "t1"]);
    assert.deepEqual(accounts, ["runner"]);
    const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: "web", uid: "u1" };
    assert.deepEqual(requests[0]?.spec, { expirationSeconds: 1000, boundObjectRef });
  });

  it("renews it at 80 % of its life, and after a day at the latest", async () => {
    const { clock, tokens } = bench();
    await tokens.token(pod, wish);
    await clock.advance(799_000);
    assert.equal(await tokens.token(pod, wish), "t1");
    await clock.advance(1000);
    assert.equal(await tokens.token(pod, wish), "t2");
    const long = { audience: "vault", expirationSeconds: 10 * 24 * 3600 };
    assert.equal(await tokens.token(pod, long), "t3");
    await clock.advance(24 * 3600 * 1000);
    assert.equal(await tokens.token(pod, long), "t4");
  });

  it("forgets those of a pod that is gone", async () => {
    const { tokens } = bench();
    await tokens.token(pod, wish);
    tokens.forget("u1");
    assert.equal(await tokens.token(pod, wish), "t2");
  });
});
