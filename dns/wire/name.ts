/**
 * Domain names in wire form, lower case, as strings of one character a byte: the keys of the zone's maps.
 *
 *   "svc1.default" ─▶ toKey ─▶ "\x04svc1\x07default\x00"
 *
 * Length bytes instead of dots: a label with a dot in it can never be taken for two labels.
 */
import { assert } from "#lib/assert.ts";
import { labelBytesMax, nameBytesMax } from "./constants.ts";

/** The key of a dotted name, with or without the final dot. Undefined when it is no domain name. */
export function toKey(name: string): string | undefined {
  const bare = name.endsWith(".") ? name.slice(0, -1) : name;
  if (bare === "") return "\0";
  let key = "";
  for (const label of bare.toLowerCase().split(".")) {
    if (label === "" || label.length > labelBytesMax || !/^[\x21-\x7e]*$/.test(label)) return undefined;
    key += String.fromCharCode(label.length) + label;
  }
  return key.length + 1 > nameBytesMax ? undefined : `${key}\0`;
}

/** The key of a name that our own code made. */
export function keyOfOwn(name: string): string {
  const key = toKey(name);
  assert(key !== undefined, `${JSON.stringify(name)} is a domain name`);
  return key;
}

/** The dotted form, for logs and tests. Bytes that are no printable character become `?`. */
export function toText(key: string): string {
  const labels: string[] = [];
  for (let at = 0; at < key.length && key.charCodeAt(at) !== 0; at += key.charCodeAt(at) + 1) {
    labels.push(key.slice(at + 1, at + 1 + key.charCodeAt(at)).replaceAll(/[^\x21-\x7e]/g, "?"));
  }
  return `${labels.join(".")}.`;
}

/** Where in `key` the labels of `suffix` start, or -1 when `key` is not in or below it. */
export function suffixOffset(key: string, suffix: string): number {
  const wanted = key.length - suffix.length;
  // Every name is in the root.
  if (suffix.length === 1) return wanted;
  if (wanted < 0 || !key.endsWith(suffix)) return -1;
  // The same bytes may also lie inside a longer label: only a label boundary counts.
  let at = 0;
  while (at < wanted) at += key.charCodeAt(at) + 1;
  return at === wanted ? at : -1;
}

/** The name's parent: without the first label. */
export function parentOf(key: string): string {
  return key.slice(key.charCodeAt(0) + 1);
}

/** The labels of `name` before `zone`, which it is in. */
export function labelsBefore(name: string, zone: string): readonly string[] {
  const labels: string[] = [];
  const end = name.length - zone.length;
  for (let at = 0; at < end; at += name.charCodeAt(at) + 1)
    labels.push(name.slice(at + 1, at + 1 + name.charCodeAt(at)));
  return labels;
}

/** The closest of `zones` (keys) that `name` is in. */
export function closestZone(name: string, zones: readonly string[]): string | undefined {
  let best: string | undefined;
  for (const zone of zones) {
    if ((best === undefined || zone.length > best.length) && suffixOffset(name, zone) >= 0) best = zone;
  }
  return best;
}

/** The name of `labels` below `zone`; labels may hold any bytes, a dot, too. */
export function keyOfLabels(labels: readonly string[], zone: string): string {
  return labels.map((label) => String.fromCharCode(label.length) + label).join("") + zone;
}

/** The key of a name that a user wrote; the root when it is none. */
export function nameOrRoot(text: string): string {
  return toKey(text) ?? "\0";
}
