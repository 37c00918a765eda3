/**
 * Do real nft and the kernel do what the packet-walk model says, over 1,000 series of random edits; and is the table
 * that grew by them the one that a fresh start makes? test/netns/proxy/model.ts, in four parts side by side.
 */
import { runInNamespaces } from "./l4-namespaces.ts";
import type { Measured } from "./measured.ts";

const parts = 4;
const series = 250;

export async function run(): Promise<readonly Measured[]> {
  const seeds = Array.from({ length: parts }, (_, part) => 1000 + part);
  // A part that differs fails, and says where.
  await Promise.all(
    seeds.map((seed) =>
      runInNamespaces("test/netns/proxy/model.ts", [String(series), String(seed)], { timeoutSeconds: 400 }),
    ),
  );
  return [
    {
      question: "series of random edits, model against real nft, grown table against a fresh one",
      measured: `${parts * series}, all agree`,
      budget: "1,000 agree",
    },
  ];
}
