/**
 * Runs the tunnels through one proxy, one after the other.
 *
 *   tunnel-cases.ts ─▶ runTunnels(start) ─▶ outcome by name: both ends, and the access log
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Start } from "./run.ts";
import { tunnelBootstrap } from "./tunnel-bootstrap.ts";
import { type TunnelCase, nameOf } from "./tunnel-cases.ts";
import { type TunnelAnswer, askTunnel } from "./tunnel-downstream.ts";
import { TunnelUpstream } from "./tunnel-upstream.ts";

export interface TunnelOutcome extends TunnelAnswer {
  /** What the upstream was asked. */
  readonly asked: readonly string[];
  /** What came to it through the tunnel. */
  readonly received: string;
  /** "STATUS FLAGS". */
  readonly log: string;
}

export async function runTunnels(
  cases: readonly TunnelCase[],
  start: Start,
): Promise<ReadonlyMap<string, TunnelOutcome>> {
  const dir = mkdtempSync(join(tmpdir(), "wherry-tunnel-"));
  const logPath = (at: number): string => join(dir, `tunnel-${at}.log`);
  const upstreams: TunnelUpstream[] = [];
  const answers: TunnelAnswer[] = [];
  try {
    for (const one of cases) upstreams.push(await TunnelUpstream.start(one));
    const proxy = await start(tunnelBootstrap(cases, { ports: upstreams.map(({ port }) => port), logPath }), dir);
    try {
      for (const [at, one] of cases.entries()) answers.push(await askTunnel(proxy.ports.get(`tunnel-${at}`)!, one));
    } finally {
      await proxy.stop();
    }
    const outcomeOf = (at: number): TunnelOutcome => {
      const { asked, received } = upstreams[at]!;
      return { ...answers[at]!, asked, received, log: readFileSync(logPath(at), "utf8").trim() };
    };
    return new Map(cases.map((one, at) => [nameOf(one), outcomeOf(at)]));
  } finally {
    for (const upstream of upstreams) upstream.close();
    rmSync(dir, { recursive: true });
  }
}
