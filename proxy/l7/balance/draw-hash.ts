/** A hash for a request that has none: any endpoint may serve it. */
import type { Random } from "#lib/random.ts";

export function drawHash(random: Pick<Random, "next">): bigint {
  const half = (): bigint => BigInt(Math.floor(random.next() * 2 ** 32));
  return (half() << 32n) | half();
}
