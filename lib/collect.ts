/**
 * What we know of our garbage, and V8 does not.
 *
 *   proxy/l7/collect-reads.ts, sidecar/bootstrap/ ─▶ collectGarbage(): there is much of it, and V8 would wait
 *   processes that serve requests ─▶ expectShortLives(): what waits for an answer will be garbage soon
 *
 * The one use of V8's `gc`, which Node gives to contexts that are made behind the flag.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { readonly type: "minor" | "major"; readonly flavor?: "last-resort" }) => void;

let collect: Collect | undefined;

/** "minor" takes half a millisecond; "major" some ms for each 10 MB that stay, and gives memory back to the system. */
export function collectGarbage(type: "minor" | "major"): void {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as Collect;
  }
  collect(type === "minor" ? { type } : { type, flavor: "last-resort" });
}

/**
 * Makes every object young from now on. V8 learns where objects are made that outlive a collection, and makes them old
 * from the start. With a thousand requests under way it takes each of their objects for such a one; dead and old, they
 * keep alive what they name, so more objects outlive, and it never unlearns: a third of the CPU of a request.
 */
export function expectShortLives(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
