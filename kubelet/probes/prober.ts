/**
 * Performs probes: HTTP, TCP and gRPC from inside the pod's network namespace, commands inside the container.
 *
 *   probe-loop.ts ─▶ Prober ─▶ ok, and what was seen in the reference kubelet's words
 */
import type { Probe } from "#api/core/probe.ts";
import type { IntOrString } from "#api/meta.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { RunningContainer, Runtime } from "../runtime.ts";
import { type Target, dial, dialFailure, portOf } from "./dial.ts";
import { checkHealth } from "./grpc-health.ts";
import { httpGet } from "./http-get.ts";

export interface ProbeResult {
  readonly ok: boolean;
  /** What was seen; for people. */
  readonly detail: string;
}

export interface ProbeTarget extends Target {
  readonly running: RunningContainer;
}

export type Prober = (probe: Probe, target: ProbeTarget, timeoutMs: number) => Promise<ProbeResult>;

/** How much of a command's output an event shows, in characters. */
const outputMax = 1024;

export function createProber(runtime: Pick<Runtime, "exec">, clock: Clock): Prober {
  return async (probe, target, timeoutMs) => {
    const { exec, httpGet: get, tcpSocket, grpc } = probe;
    try {
      if (exec !== undefined) return await probeExec(runtime, exec.command ?? [], { target, timeoutMs });
      if (get !== undefined) return await probeHttp(get, target, { timeoutMs, clock });
      if (tcpSocket !== undefined) return await probeTcp(tcpSocket, target, { timeoutMs, clock });
      if (grpc !== undefined) return await checkHealth(grpc, target, { timeoutMs, clock });
      return { ok: false, detail: "Cannot probe: wanted one of httpGet, tcpSocket, exec, grpc" };
    } catch (error) {
      return { ok: false, detail: messageOf(error) };
    }
  };
}

interface Limits {
  readonly timeoutMs: number;
  readonly clock: Clock;
}

async function probeExec(
  runtime: Pick<Runtime, "exec">,
  command: readonly string[],
  { target, timeoutMs }: { target: ProbeTarget; timeoutMs: number },
): Promise<ProbeResult> {
  const { exitCode, output } = await runtime.exec(target.running, command, timeoutMs);
  if (exitCode !== undefined) return { ok: exitCode === 0, detail: output.slice(0, outputMax) };
  return {
    ok: false,
    detail: `command timed out: ${JSON.stringify(command.join(" "))} timed out after ${timeoutMs / 1000}s`,
  };
}

async function probeHttp(get: NonNullable<Probe["httpGet"]>, target: Target, limits: Limits): Promise<ProbeResult> {
  const answer = await httpGet(get, target, limits);
  if ("failure" in answer) return { ok: false, detail: answer.failure };
  const ok = answer.status >= 200 && answer.status < 400;
  return { ok, detail: ok ? `status ${answer.status}` : `HTTP probe failed with statuscode: ${answer.status}` };
}

function probeTcp(
  { port, host }: { readonly port: IntOrString; readonly host?: string },
  target: Target,
  { timeoutMs, clock }: Limits,
): Promise<ProbeResult> {
  const number = portOf(port, target.container);
  const address = host ?? target.podIP;
  const socket = dial(address, number, target.netnsPath);
  return new Promise((resolve) => {
    const done = (result: ProbeResult): void => {
      timer.cancel();
      socket.destroy();
      resolve(result);
    };
    const timer = clock.after(timeoutMs, () =>
      done({ ok: false, detail: `dial tcp ${address}:${number}: i/o timeout` }),
    );
    socket.once("connect", () => done({ ok: true, detail: "open" }));
    socket.once("error", (error) => done({ ok: false, detail: dialFailure(error, address, number) }));
  });
}
