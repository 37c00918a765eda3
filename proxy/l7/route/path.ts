/**
 * Paths in the one form that routes and upstreams agree on. Pure.
 *
 *   path ─▶ unescapeSlashes() ─▶ canonicalPath() ─▶ mergeSlashes() ─▶ path
 *
 * Source: RFC 3986 §5.2.4 and §6.2.2; Envoy's normalize_path (the URL library of Chromium), merge_slashes and
 * path_with_escaped_slashes_action.
 */

/** Without "." and ".." segments, escapes of unreserved characters undone; undefined for a bad escape. */
export function canonicalPath(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined;
  const text = path.replaceAll("\\", "/").replaceAll(/%([0-9A-Fa-f]{2})/g, (escape: string, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return /[A-Za-z0-9\-._~]/.test(character) ? character : escape;
  });
  if (/%00/.test(text)) return undefined;
  const kept: string[] = [];
  const segments = text.split("/").slice(1);
  for (const [at, segment] of segments.entries()) {
    const isLast = at === segments.length - 1;
    if (segment === "..") kept.pop();
    else if (segment !== ".") {
      kept.push(segment);
      continue;
    }
    // A dot at the end names a folder.
    if (isLast) kept.push("");
  }
  return `/${kept.join("/")}`;
}

export function mergeSlashes(path: string): string {
  return path.replaceAll(/\/{2,}/g, "/");
}

/** %2F and %5C as the slashes that they stand for. */
export function unescapeSlashes(path: string): string {
  return path.replaceAll(/%2[Ff]/g, "/").replaceAll(/%5[Cc]/g, "\\");
}
