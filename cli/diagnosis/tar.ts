/**
 * A tar archive from texts. Pure. Format: ustar, as POSIX.1-2017 `pax` describes it.
 *
 *   TarEntry[] ─▶ encodeTar() ─▶ bytes ─▶ gzip
 */
export interface TarEntry {
  /** Relative path, at most 100 bytes. */
  readonly path: string;
  readonly text: string;
}

const blockBytes = 512;
const pathBytesMax = 100;

/** The archive; every file has mode 0600 and the time `mtimeMs`. Throws RangeError for a path that is too long. */
export function encodeTar(entries: readonly TarEntry[], mtimeMs: number): Buffer {
  const parts = entries.flatMap(({ path, text }) => {
    const content = Buffer.from(text);
    const padding = Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes);
    return [encodeHeader(path, content.length, mtimeMs), content, padding];
  });
  // Two empty blocks end an archive.
  return Buffer.concat([...parts, Buffer.alloc(2 * blockBytes)]);
}

function encodeHeader(path: string, bytes: number, mtimeMs: number): Buffer {
  if (Buffer.byteLength(path) > pathBytesMax)
    throw new RangeError(`Cannot archive ${path}: its path has more than ${pathBytesMax} bytes`);
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;
  header.write(path, 0);
  header.write(octal(0o600, 7), 100); // mode
  header.write(octal(0, 7), 108); // user
  header.write(octal(0, 7), 116); // group
  header.write(octal(bytes, 11), 124);
  header.write(octal(Math.floor(mtimeMs / 1000), 11), 136);
  header.write("        ", 148); // The checksum counts its own field as blanks.
  header.write("0", 156); // a regular file
  header.write("ustar\u000000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}
