/** A container's environment on its way through a real shell. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { carryEnvironment } from "./carried-environment.ts";

/** The environment of a program that is run as a container's is. */
function arrives(variables: Record<string, string>): Record<string, string> {
  const { env, runFunction } = carryEnvironment(variables, "demo");
  const script = `${runFunction}\nrun "$@"`;
  const text = execFileSync("/bin/dash", ["-c", script, "dash", "/usr/bin/env", "-0"], { env, encoding: "utf8" });
  const pairs = text.split("\0").filter((pair) => pair !== "");
  return Object.fromEntries(
    pairs.map((pair): [string, string] => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
  );
}

describe("carryEnvironment()", () => {
  it("brings every value through unchanged, with the cluster's mark and nothing of this process", () => {
    const odd = "a 'b' \"c\" $HOME `id` \\ \n*;";
    const { PWD: _shell, ...rest } = arrives({ PATH: "/app", GREETING: odd, EMPTY: "", t: "1", c: "2" });
    assert.deepEqual(rest, { PATH: "/app", GREETING: odd, EMPTY: "", t: "1", c: "2", WHERRY_CLUSTER: "demo" });
  });

  it("names nothing of a container's to the programs outside", () => {
    const { env } = carryEnvironment({ LD_PRELOAD: "/data/evil.so", PATH: "/data" }, "demo");
    assert.deepEqual(env, {
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      WHERRY_CLUSTER: "demo",
      WHERRY_ENV_0: "LD_PRELOAD=/data/evil.so",
      WHERRY_ENV_1: "PATH=/data",
    });
  });

  it("leaves out names that a shell cannot hold", () => {
    const { PWD: _shell, ...rest } = arrives({ "a.b": "1", "x=y;id": "2", PATH: "/bin" });
    assert.deepEqual(rest, { PATH: "/bin", WHERRY_CLUSTER: "demo" });
  });
});
