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

interface Bench {
  readonly clock: ManualClock;
  readonly requests: TokenRequest[];
  readonly accounts: string[];
  readonly tokens: Tokens;
  /** Whether the API server is away. */
  isAway: boolean;
}

function bench(): Bench {
  const clock = new ManualClock();
  const requests: TokenRequest[] = [];
  const accounts: string[] = [];
  const createToken = async (account: { name: string }, request: TokenRequest): Promise<TokenRequest> => {
    if (made.isAway) throw new Error("away");
    requests.push(request);
    accounts.push(account.name);
    const lifeMs = (request.spec.expirationSeconds ?? 0) * 1000;
    const expirationTimestamp = new Date(clock.nowMs() + lifeMs).toISOString();
    return { ...request, status: { token: `t${requests.length}`, expirationTimestamp } };
  };
  const made: Bench = { clock, requests, accounts, tokens: new Tokens({ createToken }, clock), isAway: false };
  return made;
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

  it("keeps to one that is still good while no new one can be had, and no longer", async () => {
    const made = bench();
    await made.tokens.token(pod, wish);
    made.isAway = true;
    await made.clock.advance(999_000);
    assert.equal(await made.tokens.token(pod, wish), "t1");
    await made.clock.advance(1000);
    await assert.rejects(made.tokens.token(pod, wish), { message: "away" });
    made.isAway = false;
    assert.equal(await made.tokens.token(pod, wish), "t2");
  });

  it("forgets those of a pod that is gone", async () => {
    const { tokens } = bench();
    await tokens.token(pod, wish);
    tokens.forget("u1");
    assert.equal(await tokens.token(pod, wish), "t2");
  });
});
