/**
 * What does it cost to program Services, by their number? Against a table of kube-proxy's shape, in the same run.
 *
 * Everything is in user and network namespaces of its own (l4-inside.ts). The baseline has a minute for each size: its
 * cost is quadratic, and takes longer for the largest.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { InsideResult } from "./l4-inside.ts";
import type { Measured } from "./measured.ts";

const sizes = [1000, 5000, 10_000, 30_000];
/** Of endpoint changes, 100 a second. */
const churnSeconds = 60;

export function run(): Promise<readonly Measured[]> {
  const script = join(import.meta.dirname, "l4-inside.ts");
  const command = ["--user", "--map-root-user", "--net", process.execPath, script, sizes.join(), String(churnSeconds)];
  const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const { status, stdout, stderr } = spawnSync("unshare", command, { encoding: "utf8", env });
  if (status !== 0) throw new Error(`Cannot measure: ${stderr}`);
  const result = JSON.parse(stdout) as InsideResult;
  const ms = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
  const rows = result.sizes.flatMap((size): readonly Measured[] => {
    const { services, baselineServices, baselineMs, baselineOneMoreMs, ...ours } = size;
    const isDone = baselineServices === services;
    const shape = isDone ? ms(baselineMs) : `> ${ms(baselineMs)}, then at ${baselineServices}`;
    const shapeOneMore = isDone ? ms(baselineOneMoreMs) : `${ms(baselineOneMoreMs)} at ${baselineServices}`;
    const budget = services === 30_000 ? "≤ 2 s" : "";
    return [
      {
        question: `${services} Services × 2 from empty`,
        measured: `${ms(ours.fullMs)} (kube-proxy's shape ${shape})`,
        budget,
      },
      {
        question: `one Service more, at ${services}`,
        measured: `${ms(ours.oneMoreMs)} (kube-proxy's shape ${shapeOneMore})`,
        budget: "≤ 10 ms",
      },
      { question: `one endpoint replaced, at ${services}`, measured: ms(ours.endpointMs), budget: "" },
    ];
  });
  return Promise.resolve([
    ...rows,
    { question: "a Service of 1,000 endpoints", measured: ms(result.thousandMs), budget: "" },
    { question: "one of its endpoints replaced", measured: ms(result.thousandEndpointMs), budget: "" },
    {
      question: `100 endpoint changes/s for ${churnSeconds} s, share of a core`,
      measured: `${(result.churnCoreShare * 100).toFixed(1)} %`,
      budget: "< 20 %",
    },
    { question: "the same, change to programmed, p99", measured: ms(result.churnP99Ms), budget: "" },
  ]);
}
