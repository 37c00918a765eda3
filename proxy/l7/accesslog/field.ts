/**
 * A header of a request by its lower-case name, pseudo headers included, for matchers and formats. Pure.
 */
import { headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";

/** The first value; ":method" and ":path" are those of the head, ":authority" and "host" are as Host says it. */
export function fieldValue(head: RequestHead | undefined, key: string): string | undefined {
  if (head === undefined) return undefined;
  switch (key) {
    case ":method":
      return head.method;
    case ":path":
      return head.target;
    case ":authority":
    case "host":
      return headerValue(head.headers, "host") ?? head.host;
    default:
      return headerValue(head.headers, key);
  }
}
