/**
 * Lifecycle hooks of containers: what is done right after their start and before their end.
 *
 *   container-runner.ts ─▶ runHook() ─▶ a command inside, a request from inside the pod's network, or a wait
 */
import type { LifecycleHandler } from "#api/core/probe.ts";
import type { Clock } from "#lib/clock.ts";
import { httpGet } from "./probes/http-get.ts";
import type { ProbeTarget } from "./probes/prober.ts";
import type { Runtime } from "./runtime.ts";

/** Performs a hook to its end, or to the end of its time. */
export type HookRunner = (handler: LifecycleHandler, target: ProbeTarget, timeoutMs: number) => Promise<void>;

/** Rejects with what was seen; that may hold secrets, and goes to the log only. */
export function createHookRunner(runtime: Pick<Runtime, "exec">, clock: Clock): HookRunner {
  return async ({ exec, httpGet: get, sleep }, target, timeoutMs) => {
    if (exec !== undefined) {
      const { exitCode, output } = await runtime.exec(target.running, exec.command ?? [], timeoutMs);
      if (exitCode === undefined) throw new Error(`Cannot finish hook: no end in ${timeoutMs} ms`);
      if (exitCode !== 0) throw new Error(`Cannot finish hook: exit code ${exitCode}: ${output.slice(0, 200)}`);
    } else if (get !== undefined) {
      const answer = await httpGet(get, target, { timeoutMs, clock });
      if ("failure" in answer) throw new Error(`Cannot finish hook: ${answer.failure}`);
      if (answer.status < 200 || answer.status >= 400)
        throw new Error(`Cannot finish hook: status ${answer.status}, wanted 200 to 399`);
    } else if (sleep !== undefined) {
      await clock.sleep(Math.min(sleep.seconds * 1000, timeoutMs));
    }
  };
}
