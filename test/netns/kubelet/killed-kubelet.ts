/**
 * A kubelet that is killed while it starts a container; run by suite.ts: `killed-kubelet.ts NAME nowMs|end`.
 *
 * `nowMs` kills it when it takes the time of the start, before the container's record is written; `end` when it gives
 * the word to go on, after that.
 */
import { Socket } from "node:net";
import { realClock } from "#lib/clock.ts";
import { Cgroups } from "../../../kubelet/cgroups.ts";
import { ProcessRuntime } from "../../../kubelet/process-runtime.ts";
import { dirs, logDir, specOf } from "./containers.ts";

const [name = "", hook = ""] = process.argv.slice(2);
const die = (): never => {
  process.kill(process.pid, "SIGKILL");
  throw new Error("Cannot be reached: the process was killed");
};
const clock = hook === "nowMs" ? { ...realClock, nowMs: die } : realClock;
if (hook === "end") Socket.prototype.end = die;
const runtime = new ProcessRuntime(dirs, logDir, { clock, cgroups: Cgroups.none("for tests") });
await runtime.start(specOf(name, ["sh", "-c", "echo runs; sleep 60"], { podUid: "two" }));
