/**
 * `wherry bug-report`: one file with what is needed to understand a fault, and no secret in it.
 *
 *   versions, record, states, findings, objects, events, ends of logs ─▶ redact ─▶ tar ─▶ gzip ─▶ FILE
 *
 * Never in it: Secrets, ConfigMap values, private keys, kubeconfig, tokens, the store. Works for a cluster that
 * does not run, too: what containers wrote is then left out, for nobody can tell which of it is a Secret's value.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { release, type as systemType } from "node:os";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import type { HttpKubeClient } from "#api/client/http.ts";
import { configMaps } from "#api/core/configmap.ts";
import { type Secret, secrets } from "#api/core/secret.ts";
import type { KubeObject } from "#api/meta.ts";
import { kinds } from "#api/scheme.ts";
import { realClock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { connect } from "./connect.ts";
import { diagnose } from "./diagnosis/diagnose.ts";
import { observe } from "./diagnosis/observe.ts";
import { isSecretName, redactor } from "./diagnosis/redact.ts";
import { inspectSystem } from "./diagnosis/system.ts";
import { type TarEntry, encodeTar } from "./diagnosis/tar.ts";
import { CliError } from "./errors.ts";
import { checkClusterName, readRecord, stateDirOf } from "./launcher/state-dir.ts";
import { realSystem } from "./preflight.ts";
import { toStatus } from "./status.ts";

export interface BugReportOptions {
  readonly name: string;
  readonly file?: string;
  readonly output: "text" | "json";
}

/** From the end of each log, in bytes; and files of logs at most. */
const tailBytesMax = 256 * 1024;
const logsMax = 200;

export async function bugReport({ name, file, output }: BugReportOptions): Promise<void> {
  const cluster = checkClusterName(name);
  const path = file ?? `wherry-bug-report-${cluster}.tar.gz`;
  const { entries, secretValues, areSecretsKnown } = await collect(cluster);
  const redact = redactor(secretValues);
  const folder = `wherry-bug-report-${cluster}`;
  const clean = entries.map((entry) => ({ path: `${folder}/${shorten(entry.path)}`, text: redact(entry.text) }));
  try {
    writeFileSync(path, gzipSync(encodeTar(clean, realClock.nowMs())), { mode: 0o600 });
  } catch (error) {
    throw new CliError("Failed", `Cannot write ${path}: ${messageOf(error)} (choose another place: --file FILE)`);
  }
  const written: Written = { file: path, entries: clean.length, hasPodLogs: areSecretsKnown };
  process.stdout.write(`${output === "json" ? JSON.stringify(written) : sentenceOf(written)}\n`);
}

/** What `bug-report -o json` says. */
export interface Written {
  readonly file: string;
  readonly entries: number;
  /** False: the values of Secrets could not be read, so they could not be taken out of what containers wrote. */
  readonly hasPodLogs: boolean;
}

/** The line that `bug-report` ends with. */
export function sentenceOf({ file, entries, hasPodLogs }: Written): string {
  if (hasPodLogs) return `Wrote ${file}: ${entries} files, secrets redacted (look before you send it)`;
  return (
    `Wrote ${file}: ${entries} files, keys redacted, logs of pods left out because Secrets could not be read ` +
    "(look before you send it; for all logs: wherry up, then wherry bug-report)"
  );
}

/** What goes in, and what must not be in it. */
export interface Collected {
  readonly entries: readonly TarEntry[];
  readonly secretValues: readonly string[];
  /** Whether `secretValues` has all values that a container may have written. */
  readonly areSecretsKnown: boolean;
}

/** All that the state folder and the API of `cluster` have to say. */
export async function collect(cluster: string): Promise<Collected> {
  const dir = stateDirOf(process.env, cluster);
  const record = readRecord(dir);
  const about: TarEntry[] = [
    { path: "versions.json", text: pretty(versions()) },
    { path: "system.json", text: pretty(inspectSystem(process.env, cluster)) },
    { path: "launcher.json", text: pretty(record ?? "not running") },
  ];
  const keys = keysIn(join(dir, "pki"));
  if (record === undefined) {
    const logs = logEntries(join(dir, "logs"), false);
    return { entries: [...about, ...logs], secretValues: keys, areSecretsKnown: false };
  }
  const objects = await collectObjects(() => connect(cluster));
  const { areSecretsKnown } = objects;
  const seen = await observe(cluster, record, { isThorough: true });
  const status = toStatus(seen);
  // Findings, and the reasons of pods, quote the last words of containers.
  const words = { path: "findings.json", text: pretty(diagnose(seen)) };
  const states = [
    { path: "status.json", text: pretty(areSecretsKnown ? status : { ...status, pods: undefined }) },
    ...(areSecretsKnown ? [words] : []),
    { path: "sync.json", text: pretty(seen.sync ?? "not read") },
  ];
  const logs = logEntries(join(dir, "logs"), areSecretsKnown);
  return {
    entries: [...about, ...logs, ...states, ...objects.entries],
    secretValues: [...keys, ...objects.secretValues],
    areSecretsKnown,
  };
}

const pretty = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

function versions(): Record<string, string> {
  const system = realSystem(process.env);
  const nft = system.has("nft") ? "installed" : "not found";
  const packageFile = join(import.meta.dirname, "..", "package.json");
  const { version } = JSON.parse(readFileSync(packageFile, "utf8")) as { version: string };
  return { wherry: version, node: process.version, system: `${systemType()} ${release()}`, arch: process.arch, nft };
}

/** The objects, Secrets before all else: without their values nothing can be redacted. */
export async function collectObjects(open: () => Pick<HttpKubeClient, "list" | "close">): Promise<Collected> {
  const entries: TarEntry[] = [];
  const secretValues: string[] = [];
  let areSecretsKnown = false;
  let client: ReturnType<typeof open> | undefined;
  try {
    client = open();
    for (const kind of [secrets, ...kinds.filter(({ kind: name }) => name !== secrets.kind)]) {
      const { items } = await client.list(kind);
      if (kind.kind === secrets.kind) secretValues.push(...(items as Secret[]).flatMap(valuesOf));
      else secretValues.push(...items.flatMap((object) => environmentSecrets(object)));
      entries.push({
        path: `objects/${kind.plural}.json`,
        text: pretty(items.map((object) => withoutData(kind.kind, object))),
      });
    }
    areSecretsKnown = true;
  } catch (error) {
    entries.push({ path: "objects/error.txt", text: `${messageOf(error)}\n` });
  } finally {
    await client?.close();
  }
  return { entries, secretValues, areSecretsKnown };
}

function valuesOf({ data = {} }: Secret): string[] {
  return Object.values(data).flatMap((value) => {
    const text = Buffer.from(value, "base64").toString();
    // Each line alone, too: a log prints lines.
    return [value, text, ...text.split("\n")];
  });
}

/** Secrets and ConfigMaps keep their keys, whose names matter, and lose their values. */
function withoutData(kind: string, object: KubeObject): unknown {
  if (kind !== secrets.kind && kind !== configMaps.kind) return object;
  const keys = (values: unknown): string[] => Object.keys(values ?? {});
  const { data, binaryData, stringData, ...rest } = object as KubeObject & Record<string, unknown>;
  const { annotations: _, ...metadata } = rest.metadata;
  return { ...rest, metadata, keys: [...keys(data), ...keys(binaryData), ...keys(stringData)] };
}

/** Values of environment variables with telling names, wherever an object has containers. */
function environmentSecrets(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(environmentSecrets);
  if (typeof value !== "object" || value === null) return [];
  const { name, value: own } = value as { name?: unknown; value?: unknown };
  const isTelling = typeof name === "string" && typeof own === "string" && isSecretName(name);
  return isTelling ? [own] : Object.values(value).flatMap(environmentSecrets);
}

/** The private keys of the cluster, with each of their lines. */
function keysIn(pki: string): string[] {
  return list(pki)
    .filter((file) => file.endsWith(".key"))
    .flatMap((file) => {
      const lines = readFileSync(join(pki, file), "utf8").split("\n");
      return lines.filter((line) => line !== "" && !line.startsWith("-----"));
    });
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir, { recursive: true, encoding: "utf8" }).sort();
  } catch {
    return []; // No such folder: the cluster was never started here.
  }
}

function logEntries(dir: string, hasPodLogs: boolean): TarEntry[] {
  const files = list(dir)
    .filter((file) => hasPodLogs || !file.startsWith("pods/"))
    .filter((file) => file.endsWith(".log") && statSync(join(dir, file)).isFile());
  return files.slice(0, logsMax).map((file) => ({ path: `logs/${relative(".", file)}`, text: tail(join(dir, file)) }));
}

function tail(file: string): string {
  const fd = openSync(file, "r");
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, tailBytesMax));
    const read = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    const text = bytes.subarray(0, read).toString();
    // A first line that is cut could end in half a secret, which nobody would find.
    return size > tailBytesMax ? text.slice(text.indexOf("\n") + 1) : text;
  } finally {
    closeSync(fd);
  }
}

/** Paths of the archive have at most 100 bytes. Of a uid the first part does; a longer path keeps its end. */
function shorten(path: string): string {
  const pathMax = 60;
  const short = path.replace(/([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f-]{22}/g, "$1");
  return short.length <= pathMax ? short : `logs/~${short.slice(6 - pathMax)}`;
}
