/**
 * The header Date, of an answer of the proxy's own and of a forwarded one that has none.
 * Source: RFC 9110 §5.6.7, §6.6.1.
 */
let lastSecond = -1;
let lastText = "";

/** An IMF-fixdate of `wallMs`, in ms since 1970. Made once a second. */
export function formatDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second === lastSecond) return lastText;
  lastSecond = second;
  return (lastText = new Date(wallMs).toUTCString());
}
