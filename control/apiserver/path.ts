/**
 * Which resource a path names: `/api/v1/namespaces/<ns>/<plural>/<name>/<subresource>` and its shorter forms. Pure.
 */
import type { ObjectKey } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { kindByResource } from "#api/scheme.ts";

export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  /** Empty for a collection. */
  readonly name: string;
  /** Empty for the object itself. */
  readonly subresource: string;
}

/** The resource of a path; undefined when it has another form. */
export function parseResourcePath(segments: readonly string[]): ResourcePath | undefined {
  const [root, ...rest] = segments;
  const [group, version, ...tail] = root === "api" ? ["", ...rest] : root === "apis" ? rest : [];
  if (group === undefined || version === undefined || tail.length === 0 || tail.includes("")) return undefined;
  const base = { group, version };
  const [first = "", second = "", third = "", ...more] = tail;
  // namespaces/<name>/status is the Namespace's own subresource; namespaces/<name>/pods is a collection in it.
  const isInNamespace = first === "namespaces" && third !== "" && !namespaceSubresources.includes(third);
  if (!isInNamespace) {
    if (more.length > 0) return undefined;
    return { ...base, plural: first, namespace: undefined, name: second, subresource: third };
  }
  const [name = "", subresource = "", ...extra] = more;
  return extra.length > 0 ? undefined : { ...base, plural: third, namespace: second, name, subresource };
}

const namespaceSubresources: readonly string[] = ["status", "finalize"];

/** The kind and key that a path names; undefined when the kind is not served or its scope is another. */
export function resolvePath(path: ResourcePath): { readonly kind: Kind; readonly key: ObjectKey } | undefined {
  const kind = kindByResource(path.group, path.version, path.plural);
  if (kind === undefined || (!kind.namespaced && path.namespace !== undefined)) return undefined;
  // One object of a namespaced kind is always in a Namespace; only collections reach over all of them.
  if (kind.namespaced && path.namespace === undefined && path.name !== "") return undefined;
  return {
    kind,
    key: path.namespace === undefined ? { name: path.name } : { namespace: path.namespace, name: path.name },
  };
}
