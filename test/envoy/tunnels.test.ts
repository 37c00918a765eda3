/**
 * Tunnels through Wherry, held to what Envoy did with them (tunnels.json): both ends, heads, bytes, flags. Where there
 * is an Envoy (WHERRY_ENVOY, or `envoy` on the PATH) the recording itself is checked.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { findEnvoy, startEnvoy, startWherry } from "./proxies.ts";
import { type TunnelCase, nameOf, tunnelCases } from "./tunnel-cases.ts";
import { type TunnelOutcome, runTunnels } from "./tunnels.ts";

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, "tunnels.json"), "utf8")) as Readonly<
  Record<string, TunnelOutcome>
>;

/** Over HTTP/2 Envoy's tcp_proxy takes 200 alone. */
const isOpened = ({ downstream, upstream, answer }: TunnelCase): boolean =>
  answer.startsWith("20") && !(downstream === "tcp" && upstream === "http2" && answer === "201");

/** Why Wherry does otherwise; undefined: it does not. */
function differenceOf({ downstream, upstream, answer, isWebSocket = false }: TunnelCase): string | undefined {
  const isOpen = isOpened({ downstream, upstream, answer });
  if (downstream === "tcp" && !isOpen) return "one flag is told, the one that explains it; Envoy tells URX beside it";
  const speaksHTTP1 = downstream === "http1" || upstream === "http1";
  if (isOpen && speaksHTTP1)
    return "a tunnel keeps half a connection in HTTP/1, too: what the upstream still says arrives";
  if (isWebSocket && !isOpen) return "how long the upstream took is told of an upgrade that it refused, too";
  if (answer === "101") return "101 is no answer to CONNECT, and is not passed on as one";
  return undefined;
}

describe("Envoy and Wherry, tunnels", () => {
  it("have a recording for each tunnel, and a tunnel for each recording", () => {
    assert.deepEqual(tunnelCases.map(nameOf).sort(), Object.keys(recorded).sort());
  });

  it("are the same at both ends, but for the differences that have a reason", async () => {
    const outcomes = await runTunnels(tunnelCases, (bootstrap) => startWherry(bootstrap));
    for (const one of tunnelCases) {
      const name = nameOf(one);
      const outcome = outcomes.get(name)!;
      if (differenceOf(one) === undefined) assert.deepEqual(outcome, recorded[name], name);
      else assert.notDeepEqual(outcome, recorded[name], name);
      // Whatever is told of it: the upstream was asked the same, and got the same.
      assert.deepEqual([outcome.asked, outcome.received], [recorded[name]!.asked, recorded[name]!.received], name);
    }
  });

  it("that are open carry bytes both ways until both sides have ended", async () => {
    const open = tunnelCases.filter(isOpened);
    for (const [name, { bytes, received, log }] of await runTunnels(open, (bootstrap) => startWherry(bootstrap)))
      assert.deepEqual([bytes, received, log.split(" ")[1]], ["echo:pingbye", "ping", "-"], name);
  });

  const envoy = findEnvoy();
  const skip = envoy === undefined && "SKIP no Envoy (WHERRY_ENVOY, or envoy on the PATH)";
  it("are in Envoy as they were recorded", { skip }, async () => {
    const outcomes = await runTunnels(tunnelCases, (bootstrap, dir) => startEnvoy(envoy!, bootstrap, dir));
    for (const [name, outcome] of outcomes) assert.deepEqual(outcome, recorded[name], name);
  });
});
