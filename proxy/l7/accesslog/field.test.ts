/** What formats are told of a request's fields. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestHead } from "../http1/request.ts";
import { HeadEditor } from "../route/head-editor.ts";
import { fieldValue } from "./field.ts";

test("fieldValue() gives the host with the capitals that it came with, or was given", () => {
  const head = parseRequestHead("GET /p?q HTTP/1.1\r\nHost: Example.ORG:80\r\nX-A: 1\r\n\r\n");
  assert.deepEqual(
    [":authority", "host", ":method", ":path", "x-a", "x-b"].map((key) => fieldValue(head, key)),
    ["Example.ORG:80", "Example.ORG:80", "GET", "/p?q", "1", undefined],
  );
  const editor = new HeadEditor(head);
  editor.setHost("New.Example");
  assert.equal(fieldValue(editor.finish(), ":authority"), "New.Example");
});

test("fieldValue() gives an empty host where HTTP/1.0 came without one", () => {
  assert.equal(fieldValue(parseRequestHead("GET / HTTP/1.0\r\nX-A: 1\r\n\r\n"), ":authority"), "");
});
