/**
 * What a container refers to outside its pod: ConfigMaps and Secrets, read live when the container starts, and once a
 * round for all pods when their volumes are brought up to date.
 */
import type { KubeClient } from "#api/client/client.ts";
import { configMaps } from "#api/core/configmap.ts";
import { secrets } from "#api/core/secret.ts";
import { isNotFound } from "#api/status.ts";

/** Keys and their bytes; undefined when the object does not exist. */
export type Data = ReadonlyMap<string, Buffer> | undefined;

export interface References {
  configMap(namespace: string, name: string): Promise<Data>;
  secret(namespace: string, name: string): Promise<Data>;
}

/** Reads from the API server. */
export function liveReferences(client: KubeClient): References {
  return {
    async configMap(namespace, name) {
      const object = await orUndefined(client.get(configMaps, { namespace, name }));
      if (object === undefined) return undefined;
      const texts = Object.entries(object.data ?? {}).map(([key, text]) => [key, Buffer.from(text)] as const);
      return new Map([...texts, ...decode(object.binaryData)]);
    },
    async secret(namespace, name) {
      const object = await orUndefined(client.get(secrets, { namespace, name }));
      return object === undefined ? undefined : new Map(decode(object.data));
    },
  };
}

/** The same, each object read once: for one round over all pods. */
export function onceEach(references: References): References {
  const read = new Map<string, Promise<Data>>();
  const once = (kind: keyof References, namespace: string, name: string): Promise<Data> => {
    const key = `${kind}/${namespace}/${name}`;
    const found = read.get(key) ?? references[kind](namespace, name);
    read.set(key, found);
    return found;
  };
  return {
    configMap: (namespace, name) => once("configMap", namespace, name),
    secret: (namespace, name) => once("secret", namespace, name),
  };
}

function decode(data: Readonly<Record<string, string>> | undefined): (readonly [string, Buffer])[] {
  return Object.entries(data ?? {}).map(([key, text]) => [key, Buffer.from(text, "base64")] as const);
}

async function orUndefined<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
