/**
 * Quantities: amounts of CPU, memory and the like, as `100m`, `2`, `1.5Gi`, `1e3`.
 *
 * Follows: k8s.io/apimachinery api/resource. Amounts are plain numbers here: 53 bits hold every amount of a real machine.
 */

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const pattern =
  /^([+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30}))(?:([eE][+-]?\d{1,2})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$/;

/** The amount (cores, bytes, pieces), or undefined when `text` is not a quantity. */
export function parseQuantity(text: string): number | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, digits = "", exponent = "", suffix = ""] = match;
  return Number(`${digits}${exponent}`) * (factors[suffix] ?? 1);
}

/** The amount in thousandths, rounded up: how CPU is counted, so that sums stay exact. */
export function parseMilli(text: string): number | undefined {
  const amount = parseQuantity(text);
  // The subtraction keeps 0.1 × 1000 (100.00000000000001) from being rounded up to 101.
  return amount === undefined ? undefined : Math.ceil(amount * 1000 - 1e-6);
}
