/**
 * The body of one request over HTTP, bounded in bytes and in time, whatever the version.
 *
 *   IncomingMessage (of node:http, or of node:http2's like) ─▶ readBody ─▶ bytes, or why there are none
 *
 * Time runs from the headers to the end of the body: bytes alone keep no request. Who has sent too much is not read any
 * further; the connection stays as it is, so that there can be an answer.
 */
import type { IncomingMessage } from "node:http";
import type { Clock } from "#lib/clock.ts";

export interface BodyLimits {
  readonly bytesMax: number;
  /** For all of it, in ms. */
  readonly timeMs: number;
  readonly clock: Clock;
}

/** "gone": there is nobody to answer. */
export type BodyFault = "long" | "slow" | "gone";

/** Never rejects. */
export function readBody(
  request: IncomingMessage,
  { bytesMax, timeMs, clock }: BodyLimits,
): Promise<Buffer | BodyFault> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (result: Buffer | BodyFault): void => {
      deadline.cancel();
      request.off("data", onData);
      if (typeof result === "string") request.pause();
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > bytesMax) settle("long");
    };
    const deadline = clock.after(timeMs, () => settle("slow"));
    request.on("data", onData);
    request.once("end", () => settle(Buffer.concat(chunks)));
    request.once("error", () => settle("gone"));
    request.once("close", () => settle("gone"));
  });
}
