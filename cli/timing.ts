/**
 * How soon a cluster notices that a node is gone, and how long its pods are waited for.
 *
 *   wherry up --node-monitor-grace-period 5s … ─▶ parseTiming() ─▶ control (node lifecycle, admission), agents (leases)
 *
 * The flags are those of kube-controller-manager, kube-apiserver and the kubelet's configuration, with their defaults.
 */
import { parseDuration } from "#lib/duration.ts";
import { CliError } from "./errors.ts";

export interface Timing {
  /** Silence of a node after which it counts as unreachable, in ms, > 0. Default 50 000. */
  readonly nodeMonitorGraceMs: number;
  /** Life of a node's lease, in s; it is renewed after a quarter of that. 1 to 86 400, default 40. */
  readonly nodeLeaseDurationSeconds: number;
  /** How long pods stay on a node that is not ready, in s, >= 0, unless they say otherwise. Default 300. */
  readonly defaultNotReadyTolerationSeconds: number;
  /** The same for a node that is unreachable. Default 300. */
  readonly defaultUnreachableTolerationSeconds: number;
}

/** The flags as commander gives them. */
export interface TimingOptions {
  readonly nodeMonitorGracePeriod: string;
  readonly nodeLeaseDurationSeconds: string;
  readonly defaultNotReadyTolerationSeconds: string;
  readonly defaultUnreachableTolerationSeconds: string;
}

/** Flag, default and what it says in `--help`. */
export const timingFlags: readonly (readonly [flag: string, value: string, help: string])[] = [
  ["--node-monitor-grace-period <duration>", "50s", "silence after which a node counts as unreachable"],
  ["--node-lease-duration-seconds <seconds>", "40", "life of a node's lease, renewed after a quarter of it"],
  ["--default-not-ready-toleration-seconds <seconds>", "300", "how long pods stay on a node that is not ready"],
  ["--default-unreachable-toleration-seconds <seconds>", "300", "how long pods stay on an unreachable node"],
];

/** Throws CliError Usage for what is out of range. */
export function parseTiming(options: TimingOptions): Timing {
  const nodeMonitorGraceMs = parseDuration(options.nodeMonitorGracePeriod) ?? 0;
  if (nodeMonitorGraceMs <= 0)
    throw new CliError(
      "Usage",
      `Cannot use --node-monitor-grace-period ${options.nodeMonitorGracePeriod}: wanted a duration such as 50s`,
    );
  return {
    nodeMonitorGraceMs,
    nodeLeaseDurationSeconds: parseSeconds("--node-lease-duration-seconds", options.nodeLeaseDurationSeconds, 1),
    defaultNotReadyTolerationSeconds: parseSeconds(
      "--default-not-ready-toleration-seconds",
      options.defaultNotReadyTolerationSeconds,
      0,
    ),
    defaultUnreachableTolerationSeconds: parseSeconds(
      "--default-unreachable-toleration-seconds",
      options.defaultUnreachableTolerationSeconds,
      0,
    ),
  };
}

const secondsMax = 86_400;

function parseSeconds(flag: string, text: string, min: number): number {
  const seconds = /^[0-9]{1,6}$/.test(text) ? Number(text) : -1;
  if (seconds >= min && seconds <= secondsMax) return seconds;
  throw new CliError("Usage", `Cannot use ${flag} ${text}: wanted a whole number from ${min} to ${secondsMax}`);
}
