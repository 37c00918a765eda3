/**
 * What nft says when it refuses a text, as one sentence: why, which statement, and what is wanted. Pure.
 *
 *   stderr of nft ─▶ explainRefusal ─▶ kernel-table.ts throws it, probe.ts gives it
 *
 * nft writes `place: Error: why`, then the statement as it read it, then a caret.
 */

const lengthMax = 400;

/** `otherwise` is what is wanted when nothing else can be told from the refusal. */
export function explainRefusal(stderr: string, otherwise = ""): string {
  const [why = "", statement = ""] = stderr.trim().split("\n", 2);
  const wanted = wantedBy(why) ?? otherwise;
  const text = statement.trim() === "" ? why : `${why}: ${statement.trim()}`;
  return `${text.slice(0, lengthMax)}${wanted === "" ? "" : ` (${wanted})`}`;
}

export const wantedVersions = "wanted nft >= 1.0 and kernel >= 5.15";

function wantedBy(why: string): string | undefined {
  if (/not permitted|not allowed|Permission denied/i.test(why)) return "wanted CAP_NET_ADMIN in this network namespace";
  return /not supported|syntax error|unknown/i.test(why) ? wantedVersions : undefined;
}
