/** `wherry delete`: deletes objects by kind and name, label, or file, and waits until they are gone. */
import type { HttpKubeClient } from "#api/client/http.ts";
import type { KindRef } from "#api/kind.ts";
import { type KubeObject, type ObjectKey, keyOf } from "#api/meta.ts";
import { isNotFound } from "#api/status.ts";
import { messageOf } from "#lib/errors.ts";
import { realClock } from "#lib/clock.ts";
import { connect } from "./connect.ts";
import { CliError } from "./errors.ts";
import { readManifests } from "./manifests.ts";
import { displayName, parseResources } from "./resources.ts";

export interface DeleteCommandOptions {
  readonly name: string;
  readonly namespace: string;
  readonly filename: readonly string[];
  readonly selector?: string;
  readonly gracePeriod?: string;
  readonly wait: boolean;
  readonly ignoreNotFound?: boolean;
  readonly output: "text" | "json";
}

interface Target {
  readonly kind: KindRef;
  readonly key: ObjectKey;
}

const waitStepMs = 50;
const waitMaxMs = 120_000;

export async function remove(
  kind: string | undefined,
  names: readonly string[],
  options: DeleteCommandOptions,
): Promise<void> {
  const gracePeriodSeconds = parseGrace(options.gracePeriod);
  const client = connect(options.name);
  try {
    const targets = await findTargets(client, kind, names, options);
    const deleted: { kind: KindRef; object: KubeObject }[] = [];
    const missing: string[] = [];
    for (const { kind: ref, key } of targets) {
      try {
        const object = await client.delete(ref, key, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds });
        deleted.push({ kind: ref, object });
        if (options.output === "text") process.stdout.write(`${displayName(ref, key.name)} deleted\n`);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        // The others go all the same.
        if (options.ignoreNotFound !== true) missing.push(messageOf(error));
      }
    }
    if (options.output === "json") process.stdout.write(`${JSON.stringify(deleted.map(({ object }) => object))}\n`);
    if (options.wait) for (const { kind: ref, object } of deleted) await waitUntilGone(client, ref, object);
    if (missing.length > 0) throw new CliError("Failed", missing.join("; "));
  } finally {
    await client.close();
  }
}

function parseGrace(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (Number.isInteger(seconds) && seconds >= 0) return seconds;
  throw new CliError("Usage", `Cannot use --grace-period ${text}: wanted whole seconds, 0 or more`);
}

async function findTargets(
  client: HttpKubeClient,
  kind: string | undefined,
  names: readonly string[],
  { filename, selector, namespace }: DeleteCommandOptions,
): Promise<Target[]> {
  if (filename.length > 0) {
    const inNamespace = (ref: KindRef, { name, namespace: own }: ObjectKey): ObjectKey =>
      ref.namespaced ? { namespace: own ?? namespace, name } : { name };
    // Backwards: what is named last usually depends on what was named first, as a route on its Services.
    return readManifests(filename)
      .reverse()
      .map(({ kind: ref, object }) => ({
        kind: ref,
        key: inNamespace(ref, keyOf(object)),
      }));
  }
  if (kind === undefined) throw new CliError("Usage", "Cannot delete: wanted KIND NAME, KIND -l SELECTOR, or -f FILE");
  const wanted = parseResources(kind, names);
  const lists = wanted.map(async ({ kind: ref, name }) => {
    const scope = ref.namespaced ? { namespace } : {};
    if (name !== undefined) return [{ kind: ref, key: { ...scope, name } }];
    if (selector === undefined)
      throw new CliError("Usage", `Cannot delete all ${ref.plural}: wanted a name or -l SELECTOR`);
    const { items } = await client.list(ref, { ...scope, labelSelector: selector });
    return items.map((object) => ({ kind: ref, key: keyOf(object) }));
  });
  return (await Promise.all(lists)).flat();
}

async function waitUntilGone(client: HttpKubeClient, kind: KindRef, object: KubeObject): Promise<void> {
  for (let waitedMs = 0; waitedMs < waitMaxMs; waitedMs += waitStepMs) {
    try {
      const found = await client.get(kind, keyOf(object));
      if (found.metadata.uid !== object.metadata.uid) return; // Another object by the same name.
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    await realClock.sleep(waitStepMs);
  }
  throw new CliError(
    "Failed",
    `Cannot wait longer for ${displayName(kind, object.metadata.name)}: still there after ${waitMaxMs / 1000} s`,
  );
}
