/**
 * Image name → local command and directory, through the image map. Pure.
 *
 * Names are compared as Docker reads them: `nginx` is `docker.io/library/nginx`, a pattern without tag matches any tag,
 * `*` stands for any text.
 */
import type { ImageMapEntry } from "#api/wire/image.ts";
import { KubeletError } from "./errors.ts";

/** Runs until it is told to end: what a pod needs whose work is done by its sidecar, such as a gateway. */
const pause: ImageMapEntry = { image: "wherry.dev/pause", command: ["sleep", "infinity"] };

/** The entry that stands for `image`. Throws KubeletError ErrImagePull with what to do. */
export function resolveImage(image: string, entries: readonly ImageMapEntry[]): ImageMapEntry {
  const found = [...entries, pause].find((entry) => matches(image, entry.image));
  if (found !== undefined) return found;
  throw new KubeletError(
    "ErrImagePull",
    `Cannot resolve image "${image}": no entry in the image map (add one to ~/.config/wherry/images.yaml or pass --images, and start the cluster again)`,
  );
}

function matches(image: string, pattern: string): boolean {
  const name = normalize(image);
  // A pattern that begins with any text stands for any registry, too.
  const wanted = pattern.startsWith("*") ? pattern : normalize(pattern);
  const [withoutDigest = ""] = name.split("@");
  return [name, withoutDigest, withoutTag(name)].some((text) => glob(text, wanted));
}

/** With the registry and library that Docker adds. */
function normalize(image: string): string {
  const [first = "", ...rest] = image.split("/");
  const hasRegistry = rest.length > 0 && (first.includes(".") || first.includes(":") || first === "localhost");
  if (first === "docker.io" && rest.length === 1) return `docker.io/library/${rest[0]}`;
  if (hasRegistry) return image;
  return rest.length === 0 ? `docker.io/library/${image}` : `docker.io/${image}`;
}

/** Without digest and tag; a colon before the last slash is a registry's port. */
function withoutTag(image: string): string {
  const [name = ""] = image.split("@");
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  return colon < 0 ? name : name.slice(0, colon);
}

/**
 * Whether `text` matches `pattern`, in which `*` stands for any text. Linear: each piece is taken at its first place.
 */
function glob(text: string, pattern: string): boolean {
  const pieces = pattern.split("*");
  const [first = "", ...middle] = pieces;
  if (middle.length === 0) return text === pattern;
  const last = middle.pop() ?? "";
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let at = first.length;
  const end = text.length - last.length;
  return middle.every((piece) => {
    const found = text.indexOf(piece, at);
    at = found + piece.length;
    return found >= 0 && at <= end;
  });
}
