import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isSecretName, redactor } from "./redact.ts";

test("redactor() takes known values out, plain and in base64", () => {
  const secret = "correct horse battery";
  const redact = redactor([secret, ""]);
  const base64 = Buffer.from(secret).toString("base64");
  assert.equal(redact(`a ${secret} b ${base64} c`), "a [redacted] b [redacted] c");
});

test("redactor() takes out what looks secret, known or not", () => {
  const redact = redactor([]);
  const pem = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----";
  const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl";
  assert.equal(redact(pem), "[redacted]");
  assert.equal(redact(`x ${token} y`), "x [redacted] y");
  assert.equal(redact("Authorization: Bearer abcdefgh"), "Authorization: Bearer [redacted]");
  assert.equal(redact("DB_PASSWORD=hunter22 next"), "DB_PASSWORD=[redacted] next");
  assert.equal(redact('"client-key-data": "QUJD"'), '"client-key-data": "[redacted]"');
});

test("redactor() leaves innocent text alone", () => {
  const text = 'pod default/web: container a ended with 3 {"level":"info","message":"Container started"}';
  assert.equal(redactor(["ab"])(text), text);
});

test("redactor() lets no known value of six bytes or more through", () => {
  const value = fc.string({ minLength: 6, unit: "grapheme-ascii" }).filter((text) => text.trim().length >= 6);
  fc.assert(
    fc.property(value, fc.string(), (secret, around) => {
      const clean = redactor([secret])(`${around} ${secret.trim()} ${around}`);
      // The mark itself may hold a value such as "redact".
      return "[redacted]".includes(secret.trim()) || !clean.includes(secret.trim()) || around.includes(secret.trim());
    }),
  );
});

test("isSecretName() knows telling names", () => {
  for (const name of ["DB_PASSWORD", "API_TOKEN", "AWS_SECRET_ACCESS_KEY"]) assert.ok(isSecretName(name), name);
  assert.ok(!isSecretName("LOG_LEVEL"));
});
