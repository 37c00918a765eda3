/** Secrets do not come out of /config_dump. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { redact } from "./redact.ts";

test("redact() hides keys and passwords, and nothing else", () => {
  const chain = { filename: "/cert.pem" };
  const dump = {
    a: [{ tls_certificates: [{ certificate_chain: chain, private_key: { inline_string: "KEY" } }] }],
    b: { private_key: { inline_bytes: "S0VZ" }, password: { inline_string: "PASS" } },
    c: { private_key: { filename: "/key.pem" } },
    d: { url: "redis://user:p@ss@host:1/0", path: "/x", inline_string: "body" },
    e: { url: "redis://host:1", numbers: [1, null, true] },
  };
  assert.deepEqual(redact(dump), {
    a: [{ tls_certificates: [{ certificate_chain: chain, private_key: { inline_string: "[redacted]" } }] }],
    b: { private_key: { inline_bytes: "W3JlZGFjdGVkXQ==" }, password: { inline_string: "[redacted]" } },
    c: { private_key: { filename: "/key.pem" } },
    d: { url: "redis://user:[redacted]@host:1/0", path: "/x", inline_string: "body" },
    e: { url: "redis://host:1", numbers: [1, null, true] },
  });
});
