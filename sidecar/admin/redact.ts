/**
 * A configuration without its secrets, for /config_dump. Pure.
 *
 *   resources as they were read ─▶ redact() ─▶ the same shape, with "[redacted]" where Envoy has it
 *
 * Secrets are private keys, their passwords, session ticket keys, and the password in a URL of Redis. What names a file
 * stays: a path is no secret. Source: udpa.annotations.sensitive in Envoy's messages.
 */
const secretFields: ReadonlySet<string> = new Set(["private_key", "password", "keys"]);
const inlineFields: ReadonlySet<string> = new Set(["inline_string", "inline_bytes"]);
const mark = "[redacted]";

export function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== "object" || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (secretFields.has(name)) copy[name] = withoutInline(field);
    else if (name === "url" && typeof field === "string") copy[name] = withoutPassword(field);
    else copy[name] = redact(field);
  }
  return copy;
}

/** Of one DataSource or a list of them. */
function withoutInline(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutInline);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      if (!inlineFields.has(name)) return [name, redact(field)];
      return [name, name === "inline_bytes" ? Buffer.from(mark).toString("base64") : mark];
    }),
  );
}

/** redis://user:secret@host → redis://user:[redacted]@host. */
function withoutPassword(url: string): string {
  return url.replace(/^(\w+:\/\/[^/:@]*:).*@/, `$1${mark}@`);
}
