/**
 * The configuration of a proxy that stands alone: kube-proxy's own file and flags. Pure.
 *
 *   KubeProxyConfiguration (YAML) + flags, which come first ─▶ parseConfiguration ─▶ ProxyConfiguration
 *
 * Whatever is unknown, or known but without meaning here and set, is refused by its name; all problems at once.
 */
import { parseAllDocuments } from "yaml";
import { parseDuration } from "#lib/duration.ts";
import { messageOf } from "#lib/errors.ts";
import { ProxyError } from "../errors.ts";
import { normalizeAddress, parseRange } from "../l4/ip.ts";
import { type Field, fieldOf, fields, isSection } from "./fields.ts";

export interface ProxyConfiguration {
  /** "" chooses: nftables, and userspace where there is none. */
  readonly mode: "" | "nftables" | "userspace";
  readonly clusterCIDRs: readonly string[];
  readonly detectLocalMode: "ClusterCIDR" | "NodeCIDR";
  readonly nodePortAddresses: readonly string[];
  readonly hostnameOverride: string;
  /** "", 0.0.0.0 and :: leave it to the Node object. */
  readonly bindAddress: string;
  readonly bindAddressHardFail: boolean;
  readonly healthz: HostPort;
  readonly metrics: HostPort;
  /** "" for none. */
  readonly kubeconfig: string;
  readonly masqueradeAll: boolean;
  readonly masqueradeBit: number;
  /** 0 for the proxy's own pace. */
  readonly minSyncPeriodMs: number;
  readonly syncPeriodMs: number;
  readonly conntrack: ConntrackConfiguration;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Times in ms; 0 leaves the kernel's value alone. */
export interface ConntrackConfiguration {
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly tcpBeLiberal: boolean;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

/** Adds a problem of a field: what was observed, and what was wanted. */
type Complain = (path: string, observed: string | number, wanted: string) => void;
/** What was read so far. */
interface Found {
  readonly values: Map<string, Value>;
  readonly problems: string[];
}

type Value = string | number | boolean | readonly string[];

const apiVersion = "kubeproxy.config.k8s.io/v1alpha1";
/** KEP-6032's words, beside ranges. */
const nodePortWords: readonly string[] = ["primary", "localhost", "all"];
const hourMs = 3_600_000;

/** What the flags (by name, as text) and the file's text say. Throws InvalidConfig naming every problem. */
export function parseConfiguration(
  file: string | undefined,
  flags: Readonly<Record<string, string>>,
): ProxyConfiguration {
  const found: Found = { values: new Map(), problems: [] };
  const { values, problems } = found;
  if (file !== undefined) readFile(file, found);
  for (const known of fields) {
    const text = known.flag === undefined ? undefined : flags[known.flag];
    if (text !== undefined) put(known, known.kind === "list" ? splitList(text) : text, found, known.flag);
  }
  const config = assemble(new Reader(values, flags), problems);
  const what = file === undefined ? "the command line" : "KubeProxyConfiguration";
  if (problems.length > 0) throw new ProxyError("InvalidConfig", `Cannot use ${what}: ${problems.join("; ")}`);
  return Object.freeze(config);
}

function readFile(text: string, found: Found): void {
  let document: unknown;
  try {
    const all = parseAllDocuments(text);
    const documents = "empty" in all ? [] : all;
    const [first] = documents;
    const [error] = documents.flatMap(({ errors }) => errors);
    if (error !== undefined) throw error;
    if (documents.length > 1) return void found.problems.push(`it has ${documents.length} YAML documents, wanted one`);
    document = first?.toJS({ maxAliasCount: 100 });
  } catch (error) {
    found.problems.push(`it is no YAML: ${messageOf(error).split("\n", 1)[0]}`);
    return;
  }
  if (!isObject(document) || document["kind"] !== "KubeProxyConfiguration" || document["apiVersion"] !== apiVersion) {
    found.problems.push(`wanted apiVersion ${apiVersion}, kind KubeProxyConfiguration`);
    return;
  }
  const { apiVersion: _, kind: __, ...rest } = document;
  walk("", rest, found);
}

function walk(above: string, object: Readonly<Record<string, unknown>>, found: Found): void {
  for (const [name, value] of Object.entries(object)) {
    const path = above === "" ? name : `${above}.${name}`;
    const known = fieldOf(path);
    if (known === undefined && isSection(path)) {
      if (isObject(value)) walk(path, value, found);
      else if (value !== null) found.problems.push(`${path}: wanted an object`);
    } else if (known === undefined) found.problems.push(`unknown field ${path}`);
    else if (known.unused === undefined && value !== null) put(known, value, found);
    else if (known.unused === "refused" && !isUnset(value)) found.problems.push(`${path} is not supported by Wherry`);
  }
}

/** What kubeadm writes where nothing is meant. */
function isUnset(value: unknown): boolean {
  if (isObject(value)) return Object.keys(value).length === 0;
  return value === null || value === "" || value === 0 || value === false;
}

/** Takes a value when it is of the field's kind. */
function put({ path, kind }: Field, value: unknown, found: Found, flag?: string): void {
  const read = readValue(kind, value);
  const name = flag === undefined ? path : `--${flag}`;
  if (read === undefined) found.problems.push(`${name}: observed ${JSON.stringify(value)}, wanted ${wantedOf[kind]}`);
  else found.values.set(path, read);
}

const wantedOf = {
  text: "text",
  list: "a list of text",
  bool: "true or false",
  int: "a number >= 0",
  duration: 'a duration like "30s"',
} as const;

function readValue(kind: Field["kind"], value: unknown): Value | undefined {
  switch (kind) {
    case "text":
      return typeof value === "string" ? value : undefined;
    case "list":
      return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
    case "bool":
      return typeof value === "boolean" ? value : value === "true" ? true : value === "false" ? false : undefined;
    case "int":
      return /^[0-9]{1,9}$/.test(String(value)) ? Number(value) : undefined;
    case "duration":
      // Go writes 0s.
      return value === 0 ? 0 : typeof value === "string" ? parseDuration(value) : undefined;
  }
}

/** Typed looks at values whose kinds `put` has checked. */
class Reader {
  readonly #values: ReadonlyMap<string, Value>;
  readonly #flags: Readonly<Record<string, string>>;

  constructor(values: ReadonlyMap<string, Value>, flags: Readonly<Record<string, string>>) {
    this.#values = values;
    this.#flags = flags;
  }

  /** `mode`, or `--proxy-mode` where that said it. */
  nameOf(path: string): string {
    const flag = fieldOf(path)?.flag;
    return flag === undefined || this.#flags[flag] === undefined ? path : `--${flag}`;
  }

  text(path: string): string {
    const value = this.#values.get(path);
    return typeof value === "string" ? value.trim() : "";
  }

  list(path: string): readonly string[] {
    const value = this.#values.get(path);
    return typeof value === "object" ? value : [];
  }

  number(path: string): number | undefined {
    const value = this.#values.get(path);
    return typeof value === "number" ? value : undefined;
  }

  bool(path: string): boolean | undefined {
    const value = this.#values.get(path);
    return typeof value === "boolean" ? value : undefined;
  }

  /** Of the nftables section, or what was set for iptables by someone who comes from there. */
  rules<T>(name: string, read: (path: string) => T | undefined): T | undefined {
    return read(`nftables.${name}`) ?? read(`iptables.${name}`);
  }
}

function assemble(reader: Reader, problems: string[]): ProxyConfiguration {
  const number = (path: string): number | undefined => reader.number(path);
  const bool = (path: string): boolean | undefined => reader.bool(path);
  const masqueradeBit = reader.rules("masqueradeBit", number) ?? 14;
  const complain = (path: string, observed: string | number, wanted: string): void =>
    void problems.push(`${reader.nameOf(path)}: observed ${JSON.stringify(observed)}, wanted ${wanted}`);
  if (masqueradeBit > 31) complain("nftables.masqueradeBit", masqueradeBit, "0 to 31");
  const clusterCIDRs = splitList(reader.text("clusterCIDR"));
  for (const text of clusterCIDRs)
    if (parseRange(text) === undefined) complain("clusterCIDR", text, "a range like 10.244.0.0/16");
  const nodePortAddresses = reader.list("nodePortAddresses");
  for (const text of nodePortAddresses)
    if (!nodePortWords.includes(text) && parseRange(text) === undefined)
      complain("nodePortAddresses", text, `a range like 10.0.0.0/8, ${nodePortWords.join(", ")}`);
  const bindAddress = reader.text("bindAddress");
  if (bindAddress !== "" && normalizeAddress(bindAddress) === undefined)
    complain("bindAddress", bindAddress, "an IP address");
  return {
    mode: readMode(reader.text("mode"), complain),
    clusterCIDRs,
    detectLocalMode: readDetectLocalMode(reader.text("detectLocalMode"), complain),
    nodePortAddresses: nodePortAddresses.length === 0 ? ["primary"] : nodePortAddresses,
    hostnameOverride: reader.text("hostnameOverride").toLowerCase(),
    bindAddress: normalizeAddress(bindAddress) ?? "",
    bindAddressHardFail: reader.bool("bindAddressHardFail") ?? false,
    healthz: readHostPort("healthzBindAddress", reader.text("healthzBindAddress") || "0.0.0.0:10256", complain),
    metrics: readHostPort("metricsBindAddress", reader.text("metricsBindAddress") || "127.0.0.1:10249", complain),
    kubeconfig: reader.text("clientConnection.kubeconfig"),
    masqueradeAll: reader.rules("masqueradeAll", bool) ?? false,
    masqueradeBit,
    minSyncPeriodMs: reader.rules("minSyncPeriod", number) ?? 0,
    syncPeriodMs: (reader.rules("syncPeriod", number) ?? 0) || 30_000,
    conntrack: {
      maxPerCore: number("conntrack.maxPerCore") ?? 32_768,
      min: number("conntrack.min") ?? 131_072,
      tcpEstablishedTimeoutMs: number("conntrack.tcpEstablishedTimeout") ?? 24 * hourMs,
      tcpCloseWaitTimeoutMs: number("conntrack.tcpCloseWaitTimeout") ?? hourMs,
      tcpBeLiberal: bool("conntrack.tcpBeLiberal") ?? false,
      udpTimeoutMs: number("conntrack.udpTimeout") ?? 0,
      udpStreamTimeoutMs: number("conntrack.udpStreamTimeout") ?? 0,
    },
  };
}

function readMode(text: string, complain: Complain): ProxyConfiguration["mode"] {
  if (text === "" || text === "nftables" || text === "userspace") return text;
  complain("mode", text, "nftables or userspace (Services are the same in each)");
  return "";
}

function readDetectLocalMode(text: string, complain: Complain): ProxyConfiguration["detectLocalMode"] {
  if (text === "NodeCIDR") return text;
  if (text !== "" && text !== "ClusterCIDR") complain("detectLocalMode", text, "ClusterCIDR or NodeCIDR");
  return "ClusterCIDR";
}

/** `0.0.0.0:10256`, `[::]:10256`, or an address alone, which has the port of its default. */
function readHostPort(path: string, text: string, complain: Complain): HostPort {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host !== undefined && normalizeAddress(host) !== undefined && Number(port) <= 65_535)
    return { host, port: Number(port) };
  complain(path, text, "ADDRESS:PORT");
  return { host: "127.0.0.1", port: 0 };
}

function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
