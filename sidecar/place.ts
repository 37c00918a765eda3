/**
 * What messages call a resource: where it stands in the bootstrap, or the name that its control plane gave it. Pure.
 *
 *   bootstrap/config.ts ─▶ Place ─▶ state.ts: messageAbout()
 *
 * Invariant: a message of the bootstrap begins with a path in it (names in snake case, texts merged), that of a control
 * plane with a name.
 */

/** Of a resource in the bootstrap. */
export interface Place {
  /** As in `static_resources.listeners[0]`. */
  readonly path: string;
  /** As in `listener "in"`; undefined: it has no name there. */
  readonly title: string | undefined;
}

/** `message` names the field by its path; `more` says what else is known of the place, as in `route "r"`. */
export function messageAbout(
  { name, place }: { readonly name: string; readonly place?: Place | undefined },
  message: string,
  more: readonly string[] = [],
): string {
  const titles = [...(place?.title === undefined ? [] : [place.title]), ...more];
  const behind = titles.length === 0 ? "" : ` (${titles.join(", ")})`;
  return `${place === undefined ? `${name}: ` : ""}${message}${behind}`;
}
