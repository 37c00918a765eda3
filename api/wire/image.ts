/**
 * The image map: which local command and directory stand for an image name, so that published manifests run unmodified.
 *
 *   image map files (YAML) ─▶ cli parses ─▶ kubelet resolves each container's image
 */

export interface ImageMapEntry {
  /** Image name pattern: `*` stands for any text. A name without tag matches any tag. First match wins. */
  readonly image: string;
  /** Absolute host directory that becomes the container's /app (read-only) and its working directory; absent: none. */
  readonly directory?: string;
  /** What runs when the container names no command, as an image's entry point would. */
  readonly command: readonly string[];
  /** Environment of the image; the container's own wins. */
  readonly env?: Readonly<Record<string, string>>;
}
