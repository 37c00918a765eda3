/**
 * Collects garbage when it is known that there is much of it, and V8 would wait.
 *
 *   proxy/l7/collect-reads.ts, sidecar/bootstrap/ ─▶ collectGarbage() ─▶ V8
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
