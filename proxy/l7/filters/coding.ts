/**
 * Which content coding a downstream gets, out of those that a chain has. Pure.
 *
 *   Accept-Encoding, the chain's codings ─▶ chooseCoding() ─▶ the coding, and why
 *
 * The highest q wins, then who is named first; names are compared as they are written, as Envoy does.
 * Source: RFC 9110 §12.5.3; Envoy, CompressorFilter::chooseEncoding.
 */

/** A coding that a filter of the chain has. */
export interface OfferedCoding {
  /** "gzip" */
  readonly coding: string;
  /** Wins over others of the same q; the last one of a chain that has it. */
  readonly isFirst: boolean;
}

export interface CodingChoice {
  /** Undefined: as it is. */
  readonly coding: string | undefined;
  readonly why: "named" | "wildcard" | "identity" | "invalid";
}

const invalid: CodingChoice = { coding: undefined, why: "invalid" };

export function chooseCoding(accepted: string, offered: readonly OfferedCoding[]): CodingChoice {
  const codings = new Set(offered.map(({ coding }) => coding));
  const preferred = offered.findLast(({ isFirst }) => isFirst)?.coding;
  const wanted = parseAccepted(accepted);
  for (const { name, q } of wanted) if (q === 0) codings.delete(name);
  if (codings.size === 0) return invalid;
  let best = { name: "identity", q: 0 };
  for (const one of wanted) {
    if (!codings.has(one.name) && one.name !== "identity" && one.name !== "*") continue;
    if (one.q > best.q || (one.q === best.q && one.q > 0 && one.name === preferred)) best = one;
  }
  if (best.q === 0) return invalid;
  if (best.name === "identity") return { coding: undefined, why: "identity" };
  if (best.name === "*") return { coding: [...codings][0], why: "wildcard" };
  return { coding: best.name, why: "named" };
}

/** Entries whose q is no number are passed over. */
function parseAccepted(text: string): readonly { readonly name: string; readonly q: number }[] {
  return text.split(",").flatMap((entry) => {
    if (entry === "") return [];
    const semicolon = entry.indexOf(";");
    if (semicolon < 0) return [{ name: entry.trim(), q: 1 }];
    const name = entry.slice(0, semicolon).trim();
    const parameters = entry.slice(semicolon + 1);
    const equals = parameters.indexOf("=");
    if (equals < 0 || parameters.slice(0, equals).trim().toLowerCase() !== "q") return [{ name, q: 1 }];
    const value = parameters.slice(equals + 1).trim();
    return /^[+-]?(?:\d+\.?\d*|\.\d+)$/.test(value) ? [{ name, q: Number(value) }] : [];
  });
}
