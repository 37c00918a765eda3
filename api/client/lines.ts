/**
 * A byte stream cut into lines, as watches and logs need it.
 *
 * Invariant: at most `lineBytesMax` bytes wait for their line's end; more is an error, not a growing buffer.
 */
import { CodedError } from "#lib/errors.ts";

export class LineTooLongError extends CodedError<"LineTooLong"> {}

const newline = 0x0a;

/** The non-empty lines of `source`, without their ends. A last line without end counts. */
export async function* splitLines(source: AsyncIterable<Uint8Array>, lineBytesMax: number): AsyncGenerator<string> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const bytes of source) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      pending.push(chunk.subarray(start, end));
      const line = Buffer.concat(pending).toString();
      pending = [];
      pendingBytes = 0;
      start = end + 1;
      if (line !== "") yield line;
    }
    pending.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    if (pendingBytes > lineBytesMax) {
      throw new LineTooLongError("LineTooLong", `Cannot read line: more than ${lineBytesMax} bytes`);
    }
  }
  const last = Buffer.concat(pending).toString();
  if (last !== "") yield last;
}
