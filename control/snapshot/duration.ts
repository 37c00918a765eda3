/** Gateway API durations ("1h30m", "500ms") → protobuf's ("5400s", "0.5s"). Source: GEP-2257. */

const unitMs: ReadonlyMap<string, number> = new Map([
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
]);

/** The duration in protobuf's JSON form, or undefined when the text is none. "0s" stays: no limit. */
export function translateDuration(text: string): string | undefined {
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text)) return undefined;
  let ms = 0;
  for (const [, digits, unit] of text.matchAll(/([0-9]{1,5})(ms|h|m|s)/g))
    ms += Number(digits) * (unitMs.get(unit ?? "") ?? 0);
  return `${ms / 1000}s`;
}
