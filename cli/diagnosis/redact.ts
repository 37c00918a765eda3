/**
 * Takes secrets out of texts before they leave the machine. Pure.
 *
 *   known secret values, text ─▶ redactor() ─▶ text
 *
 * Two nets: what is known to be secret (values of Secrets, private keys, in plain text and base64) wherever it
 * stands; and what looks secret (PEM keys, tokens, values of names such as PASSWORD), known or not.
 */
const mark = "[redacted]";
/** A value shorter than this would take innocent words with it; the second net is for those. */
const secretBytesMin = 6;

const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g;
/** JSON Web Token: three parts of base64url, of which the first two are JSON objects (RFC 7519). */
const token = /\beyJ[\w-]{5,}\.eyJ[\w-]{5,}\.[\w-]+/g;
const bearer = /\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi;
/** `"password": "x"`, `PASSWORD=x`, `client-key-data: x`. */
const named =
  /((?:[\w-]*(?:passw(?:or)?d|secret|token|api[_-]?key|private[_-]?key|key-data|credential)[\w-]*)["']?\s*[:=]\s*["']?)([^\s"',}]+)/gi;

/** A function that redacts. `secrets` are values as they are; each is also looked for in base64. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const values = new Set(
    secrets
      .map((secret) => secret.trim())
      .filter((secret) => Buffer.byteLength(secret) >= secretBytesMin)
      .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), ...base64sOf(secret)]),
  );
  // The longest first: a part of it may be a secret of its own.
  const known = [...values].sort((a, b) => b.length - a.length);
  return (text) => {
    let redacted = text;
    for (const value of known) redacted = redacted.replaceAll(value, mark);
    return redacted
      .replace(privateKey, mark)
      .replace(token, mark)
      .replace(bearer, `$1 ${mark}`)
      .replace(named, `$1${mark}`);
  };
}

function base64sOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const withNewline = Buffer.from(`${secret}\n`);
  return [bytes.toString("base64"), bytes.toString("base64url"), withNewline.toString("base64")];
}

/** Values in an environment whose names say that they are secret. */
export function isSecretName(name: string): boolean {
  return /passw|secret|token|key|credential|auth/i.test(name);
}
