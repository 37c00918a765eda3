/**
 * xxHash64: the hash of Envoy's consistent-hash balancers. Pure.
 *
 * Texts are short (a cookie, an address), so 64-bit integers of the language are fast enough.
 * Source: xxHash specification, "XXH64 algorithm description".
 */
const prime1 = 0x9e37_79b1_85eb_ca87n;
const prime2 = 0xc2b2_ae3d_27d4_eb4fn;
const prime3 = 0x1656_67b1_9e37_79f9n;
const prime4 = 0x85eb_ca77_c2b2_ae63n;
const prime5 = 0x27d4_eb2f_1656_67c5n;
const mask = (1n << 64n) - 1n;

export function xxHash64(input: Buffer, seed = 0n): bigint {
  let at = 0;
  let hash: bigint;
  if (input.length >= 32) {
    const lanes = [(seed + prime1 + prime2) & mask, (seed + prime2) & mask, seed, (seed - prime1) & mask];
    for (; at + 32 <= input.length; at += 32)
      for (let lane = 0; lane < 4; lane++) lanes[lane] = round(lanes[lane]!, input.readBigUInt64LE(at + 8 * lane));
    hash = (rotate(lanes[0]!, 1n) + rotate(lanes[1]!, 7n) + rotate(lanes[2]!, 12n) + rotate(lanes[3]!, 18n)) & mask;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * prime1 + prime4) & mask;
  } else hash = (seed + prime5) & mask;
  hash = (hash + BigInt(input.length)) & mask;
  for (; at + 8 <= input.length; at += 8)
    hash = (rotate(hash ^ round(0n, input.readBigUInt64LE(at)), 27n) * prime1 + prime4) & mask;
  if (at + 4 <= input.length) {
    hash = (rotate(hash ^ ((BigInt(input.readUInt32LE(at)) * prime1) & mask), 23n) * prime2 + prime3) & mask;
    at += 4;
  }
  for (; at < input.length; at++) hash = (rotate(hash ^ ((BigInt(input[at]!) * prime5) & mask), 11n) * prime1) & mask;
  return avalanche(hash);
}

function round(accumulator: bigint, lane: bigint): bigint {
  return (rotate((accumulator + lane * prime2) & mask, 31n) * prime1) & mask;
}

function rotate(value: bigint, by: bigint): bigint {
  return ((value << by) | (value >> (64n - by))) & mask;
}

function avalanche(hash: bigint): bigint {
  let mixed = ((hash ^ (hash >> 33n)) * prime2) & mask;
  mixed = ((mixed ^ (mixed >> 29n)) * prime3) & mask;
  return mixed ^ (mixed >> 32n);
}
