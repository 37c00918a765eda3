/**
 * What does a clusterIP cost a connection, against the endpoint itself in the same run; and is one lost while endpoints
 * come and go for a minute?
 */
import { runInNamespaces } from "./l4-namespaces.ts";
import type { TrafficResult } from "./l4-traffic-inside.ts";
import type { Measured } from "./measured.ts";

const rollSeconds = 60;

export async function run(): Promise<readonly Measured[]> {
  const text = await runInNamespaces("bench/l4-traffic-inside.ts", [], { timeoutSeconds: 180 });
  const results = JSON.parse(text) as readonly TrafficResult[];
  const us = (value: number): string => `${value.toFixed(0)} µs`;
  const rows = results.flatMap((result): readonly Measured[] => [
    {
      question: `bytes a second by clusterIP, ${result.services} Services`,
      measured: `${result.throughputRatio.toFixed(3)} × direct (${result.directGbits.toFixed(1)} Gbit/s)`,
      budget: "≥ 0.97 × direct",
    },
    {
      question: `connection by clusterIP, ${result.services} Services, p50 / p99`,
      measured:
        `${us(result.vipP50Us)} / ${us(result.vipP99Us)}` +
        ` (direct ${us(result.directP50Us)} / ${us(result.directP99Us)})`,
      budget: "no growth with size",
    },
  ]);
  const rolled = await runInNamespaces("test/netns/proxy/rolling.ts", [String(rollSeconds)], { timeoutSeconds: 120 });
  const [, line = ""] = /^rolled: (.*)$/m.exec(rolled) ?? [];
  return [
    ...rows,
    {
      question: `500 connections/s for ${rollSeconds} s while endpoints roll`,
      measured: line,
      budget: "none fails, none goes to one that is not ready",
    },
  ];
}
