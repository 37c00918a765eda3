/**
 * Times as %START_TIME(format)% prints them: strftime's letters, in UTC or in the zone of the machine. Pure.
 *
 * Source: Envoy's START_TIME: strftime with %1f to %9f and %E3S for parts of a second, %s for seconds since 1970.
 */
import type { Fail } from "./types.ts";

type Format = (ms: number) => string;

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const pad = (value: number, width: number): string => String(value).padStart(width, "0");

const letters: Readonly<Record<string, (time: Date) => string>> = {
  Y: (time) => String(time.getUTCFullYear()),
  m: (time) => pad(time.getUTCMonth() + 1, 2),
  d: (time) => pad(time.getUTCDate(), 2),
  e: (time) => String(time.getUTCDate()).padStart(2),
  H: (time) => pad(time.getUTCHours(), 2),
  M: (time) => pad(time.getUTCMinutes(), 2),
  S: (time) => pad(time.getUTCSeconds(), 2),
  F: (time) => time.toISOString().slice(0, 10),
  T: (time) => time.toISOString().slice(11, 19),
  a: (time) => days[time.getUTCDay()]!.slice(0, 3),
  A: (time) => days[time.getUTCDay()]!,
  b: (time) => months[time.getUTCMonth()]!.slice(0, 3),
  B: (time) => months[time.getUTCMonth()]!,
  j: (time) => pad(Math.floor((time.getTime() - Date.UTC(time.getUTCFullYear(), 0, 1)) / 86_400_000) + 1, 3),
  s: (time) => String(Math.floor(time.getTime() / 1000)),
  f: (time) => pad(time.getTime() % 1000, 3).padEnd(9, "0"),
  z: () => "+0000",
  Z: () => "UTC",
  "%": () => "%",
};

/** The format of `text`; empty: 2026-01-02T03:04:05.678Z, with the zone's offset for a local time. */
export function compileTime(text: string, fail: Fail, isLocal = false): Format {
  if (isLocal) return compileLocal(text === "" ? "%Y-%m-%dT%H:%M:%E3S%z" : text, fail);
  if (text === "") return (ms) => new Date(ms).toISOString();
  const parts: (string | ((time: Date) => string))[] = [];
  for (const [part] of text.matchAll(/%E?[1-9]?.|[^%]+|%/g)) {
    if (!part.startsWith("%")) parts.push(part);
    else parts.push(compileLetter(part.slice(1), fail));
  }
  return (ms) => {
    const time = new Date(ms);
    return parts.map((part) => (typeof part === "string" ? part : part(time))).join("");
  };
}

/** By a time in UTC that reads as the local one does. */
function compileLocal(text: string, fail: Fail): Format {
  const parts = text.split(/(%[zsZ])/);
  if (parts.includes("%Z")) throw fail("time letter %Z is not supported for local times, wanted %z");
  const formats = parts.map((part) => (part === "%z" || part === "%s" || part === "" ? part : compileTime(part, fail)));
  return (ms) => {
    const offset = -new Date(ms).getTimezoneOffset();
    const shifted = ms + offset * 60_000;
    return formats
      .map((format) => {
        if (typeof format === "function") return format(shifted);
        if (format === "%s") return String(Math.floor(ms / 1000));
        return format === "%z" ? zoneOf(offset) : "";
      })
      .join("");
  };
}

/** +0130 for 90 minutes. */
function zoneOf(offset: number): string {
  const minutes = Math.abs(offset);
  return `${offset < 0 ? "-" : "+"}${pad(Math.floor(minutes / 60), 2)}${pad(minutes % 60, 2)}`;
}

function compileLetter(letter: string, fail: Fail): (time: Date) => string {
  const fraction = /^([1-9])f$/.exec(letter);
  if (fraction !== null) return (time) => letters["f"]!(time).slice(0, Number(fraction[1]));
  const seconds = /^E([1-9])S$/.exec(letter);
  if (seconds !== null) {
    const digits = Number(seconds[1]);
    return (time) => `${letters["S"]!(time)}.${letters["f"]!(time).slice(0, digits)}`;
  }
  const known = Object.hasOwn(letters, letter) ? letters[letter] : undefined;
  if (known === undefined) throw fail(`time letter %${letter} is not supported`);
  return known;
}
