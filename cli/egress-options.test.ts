/** The flags of egress. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEgress } from "./egress-options.ts";

test("parseEgress() takes ports and refuses what is none", () => {
  const parse = (...allowHostPort: string[]): unknown =>
    parseEgress({ outboundTrafficPolicy: "allow-any", allowHostPort });
  assert.deepEqual(parse("80", "65535"), { outbound: "allow-any", hostPorts: [80, 65_535] });
  for (const wrong of ["0", "65536", "x", "-1", "1e3"])
    assert.throws(() => parse(wrong), {
      message: `Cannot use --allow-host-port ${wrong}: wanted a port from 1 to 65535`,
    });
});
