/**
 * What node:net's handles say of their last read and write: Node's binding below its streams, where it is as known.
 *
 *   direct-reads.ts, direct-writes.ts ─▶ streamBinding
 *
 * It is no public part of Node. Who uses it goes the usual way where it is undefined.
 */

/** `Request`: what a handle needs for one write. */
export interface StreamBinding<Request = unknown> {
  readonly WriteWrap: new () => Request;
  /** Of the last read or write, by the numbers below. */
  readonly streamBaseState: Readonly<Record<number, number>>;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

function find(): StreamBinding | undefined {
  try {
    const found = (process as unknown as { binding(name: string): Partial<StreamBinding> }).binding("stream_wrap");
    const { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found;
    if (WriteWrap === undefined || streamBaseState === undefined) return undefined;
    if (kReadBytesOrError === undefined || kLastWriteWasAsync === undefined) return undefined;
    return { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync };
  } catch {
    return undefined; // A Node that has none, or does not give it away.
  }
}

export const streamBinding: StreamBinding | undefined = find();
