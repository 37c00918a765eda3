/** The header Date over HTTP/2: of the proxy's own answers, and of forwarded ones that have none. */
import assert from "node:assert/strict";
import test from "node:test";
import { toResponseList } from "./heads.ts";
import { parseResponseHead } from "../http1/response.ts";

/** RFC 9110 §5.6.7 has this one. */
const wallMs = 784_111_777_000;

test("toResponseList() dates what the origin has not dated", () => {
  const list = toResponseList(parseResponseHead("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 1\r\n\r\n"), 200, wallMs);
  const date = ["date", "Sun, 06 Nov 1994 08:49:37 GMT"];
  assert.deepEqual(list, [":status", "200", "a", "b", "content-length", "1", ...date]);
  const dated = parseResponseHead("HTTP/1.1 200 OK\r\nDate: Mon, 07 Nov 1994 00:00:00 GMT\r\n\r\n");
  assert.deepEqual(toResponseList(dated, 200, wallMs), [":status", "200", "date", "Mon, 07 Nov 1994 00:00:00 GMT"]);
});
