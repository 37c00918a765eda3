/**
 * Formats of texts in API objects: DNS names, label keys and values, keys of ConfigMaps, …
 *
 *   schema.ts (names a format) ─▶ formatError() ─▶ walk.ts
 *
 * Patterns, limits and sentences follow k8s.io/apimachinery util/validation; the sentences are what users search for.
 */

/** The known formats. */
export type Format =
  | "dnsLabel"
  | "dnsSubdomain"
  | "dns1035Label"
  | "hostname"
  | "labelValue"
  | "qualifiedName"
  | "configKey"
  | "portName"
  | "envName"
  | "base64"
  | "ipv4"
  | "duration"
  | "absolutePath";

interface FormatRule {
  readonly pattern: RegExp;
  /** Longest text, in bytes. */
  readonly bytesMax: number;
  readonly sentence: string;
}

const dnsLabelPattern = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const dnsSubdomainPattern = `${dnsLabelPattern}(\\.${dnsLabelPattern})*`;
const dns1035Pattern = "[a-z]([-a-z0-9]*[a-z0-9])?";
const qualifiedPattern = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const labelValuePattern = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

function rule(pattern: string, bytesMax: number, sentence: string): FormatRule {
  return { pattern: new RegExp(`^${pattern}$`), bytesMax, sentence };
}

const rules: Readonly<Record<Format, FormatRule>> = {
  dnsLabel: rule(
    dnsLabelPattern,
    63,
    `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${dnsLabelPattern}')`,
  ),
  dnsSubdomain: rule(
    dnsSubdomainPattern,
    253,
    `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${dnsSubdomainPattern}')`,
  ),
  dns1035Label: rule(
    dns1035Pattern,
    63,
    `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '${dns1035Pattern}')`,
  ),
  /** A host name of Gateway API: the first label may be `*`. */
  hostname: rule(
    `(\\*\\.)?${dnsSubdomainPattern}`,
    253,
    "must be a lower case DNS name, optionally with a first label '*' (e.g. 'example.com' or '*.example.com')",
  ),
  labelValue: rule(
    labelValuePattern,
    63,
    `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '${labelValuePattern}')`,
  ),
  /** The part of a label key after the optional prefix; `qualifiedName` checks the whole. */
  qualifiedName: rule(
    qualifiedPattern,
    63,
    `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualifiedPattern}')`,
  ),
  configKey: rule(
    "[-._a-zA-Z0-9]+",
    253,
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
  ),
  portName: rule(
    "(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    15,
    "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), at least one letter, and no hyphen at an end or beside another",
  ),
  envName: rule(
    "[ -<>-~]+",
    4096,
    "a valid environment variable name must consist only of printable ASCII characters other than '='",
  ),
  base64: rule(
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    1_500_000,
    "must be base64 (RFC 4648 section 4, with padding)",
  ),
  ipv4: rule(
    "(?:(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)",
    15,
    "must be a valid IPv4 address, (e.g. 10.9.8.7)",
  ),
  /** GEP-2257: a subset of Go's durations. */
  duration: rule("([0-9]{1,5}(h|m|s|ms)){1,4}", 40, "must be a duration such as '10s', '1m30s' or '500ms'"),
  absolutePath: rule("/[^\\0]*", 4096, "must be an absolute path"),
};

/** Why `text` does not have the format, as Kubernetes says it; undefined when it has. */
export function formatError(format: Format, text: string): string | undefined {
  if (format === "qualifiedName") return qualifiedNameError(text);
  return plainError(format, text);
}

function plainError(format: Format, text: string): string | undefined {
  const { pattern, bytesMax, sentence } = rules[format];
  if (Buffer.byteLength(text) > bytesMax) return `must be no more than ${bytesMax} bytes`;
  return pattern.test(text) ? undefined : sentence;
}

/** A label key: an optional DNS subdomain and `/`, then a name. */
function qualifiedNameError(text: string): string | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return plainError("qualifiedName", text);
  const prefixError = plainError("dnsSubdomain", text.slice(0, slash));
  if (prefixError !== undefined) return `prefix part ${prefixError}`;
  return plainError("qualifiedName", text.slice(slash + 1));
}
