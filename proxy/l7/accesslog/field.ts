/**
 * A header of a request by its lower-case name, pseudo headers included, for matchers and formats. Pure.
 */
import type { RequestHead } from "../http1/request.ts";

/** The first value; ":method", ":path", ":authority" and "host" are those of the head. */
export function fieldValue(head: RequestHead | undefined, key: string): string | undefined {
  if (head === undefined) return undefined;
  switch (key) {
    case ":method":
      return head.method;
    case ":path":
      return head.target;
    case ":authority":
    case "host":
      return head.host;
    default: {
      const index = head.headers.keys.indexOf(key);
      return index < 0 ? undefined : head.headers.values[index];
    }
  }
}
