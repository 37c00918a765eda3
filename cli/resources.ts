/**
 * Names that people use for kinds and objects: `po`, `pods`, `deployment/reviews-v1`, `svc reviews`.
 */
import { kinds } from "#api/scheme.ts";
import type { KindRef } from "#api/kind.ts";
import { CliError } from "./errors.ts";

/** The kind behind a word: plural, singular, short name, or kind, in any case, with or without `.group`. */
export function findKind(word: string): KindRef {
  const wanted = word.toLowerCase();
  const found = kinds.find((kind) => {
    const names = [kind.plural, kind.singular, kind.kind.toLowerCase(), ...kind.shortNames];
    return names.includes(wanted) || `${kind.plural}.${kind.group}` === wanted;
  });
  if (found !== undefined) return found;
  const known = kinds.map((kind) => kind.plural).join(", ");
  throw new CliError("Usage", `Cannot find kind ${JSON.stringify(word)}: wanted one of ${known}`);
}

export interface Named {
  readonly kind: KindRef;
  /** Absent: all of the kind. */
  readonly name?: string;
}

/** `kind [name…]`, `kind/name [kind/name…]`, `kind,kind`. */
export function parseResources(first: string, rest: readonly string[]): Named[] {
  if (first.includes("/")) {
    return [first, ...rest].map((word) => {
      const [kind = "", name = "", extra] = word.split("/");
      if (name === "" || extra !== undefined)
        throw new CliError("Usage", `Cannot read ${JSON.stringify(word)}: wanted KIND/NAME`);
      return { kind: findKind(kind), name };
    });
  }
  const kindsWanted = first.split(",").map(findKind);
  if (rest.length === 0) return kindsWanted.map((kind) => ({ kind }));
  return kindsWanted.flatMap((kind) => rest.map((name) => ({ kind, name })));
}

/** `deployment.apps/reviews-v1`, as kubectl names what it did. */
export function displayName(kind: KindRef, name: string): string {
  return `${kind.singular}${kind.group === "" ? "" : `.${kind.group}`}/${name}`;
}
