/**
 * Do real nft and the kernel do what the packet-walk model says, over 1,000 series of random edits, and 500 more
 * without chains of Services; and is the table that grew by them the one that a fresh start makes?
 * test/netns/proxy/model.ts, in six parts side by side.
 */
import { runInNamespaces } from "./l4-namespaces.ts";
import type { Measured } from "./measured.ts";

/** Of each part, how many Services have chains of their own: all that there are, or none. */
const exactMaxes = [1000, 1000, 1000, 1000, 0, 0];
const series = 250;

export async function run(): Promise<readonly Measured[]> {
  // A part that differs fails, and says where.
  await Promise.all(
    exactMaxes.map((exactMax, part) => {
      const args = [series, 1000 + part, exactMax].map(String);
      return runInNamespaces("test/netns/proxy/model.ts", args, { timeoutSeconds: 400 });
    }),
  );
  return [
    {
      question: "series of random edits, model against real nft, grown table against a fresh one",
      measured: `${exactMaxes.length * series}, all agree`,
      budget: "1,000 agree",
    },
  ];
}
