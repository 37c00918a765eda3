/**
 * The alternative names of a certificate, from the text that Node.js makes of them. Pure.
 *
 *   subjectAltName ─▶ alternativeNames() ─▶ context.ts (who is it?), facts.ts (what is told)
 */
export interface AlternativeName {
  readonly type: string;
  readonly value: string;
}

const sanPrefixes: Readonly<Record<string, string>> = { "IP Address": "IP", email: "EMAIL", DNS: "DNS", URI: "URI" };

/** "DNS:a, URI:spiffe://b" → names. A value with a comma or a quote comes quoted, as JSON (CVE-2021-44532). */
export function alternativeNames(text: string): readonly AlternativeName[] {
  const names: AlternativeName[] = [];
  for (let at = 0; at < text.length;) {
    const colon = text.indexOf(":", at);
    if (colon < 0) break;
    const type = sanPrefixes[text.slice(at, colon).trim()] ?? "";
    const isQuoted = text[colon + 1] === '"';
    let end = isQuoted ? endOfQuoted(text, colon + 1) : text.indexOf(", ", colon);
    if (end < 0) end = text.length;
    const raw = text.slice(colon + 1, end);
    names.push({ type, value: isQuoted ? (JSON.parse(raw) as string) : raw });
    at = end + 2;
  }
  return names;
}

function endOfQuoted(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}
