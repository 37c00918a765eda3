/** Durations as Go writes them on command lines: "300ms", "1.5h", "2m30s". Source: Go's time.ParseDuration. */

const unitMs: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** Longest text that can be a duration, in characters. */
const lengthMax = 64;

/** The duration in ms, >= 0, or undefined when the text is none. "0" needs no unit; signs, ns and us are not taken. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (text.length > lengthMax || !/^([0-9]+(\.[0-9]+)?(ms|h|m|s))+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/([0-9.]+)(ms|h|m|s)/g))
    ms += Number(number) * (unitMs.get(unit ?? "") ?? 0);
  return ms;
}
