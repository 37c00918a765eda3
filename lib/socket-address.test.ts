import assert from "node:assert/strict";
import test from "node:test";
import { decodeAddress, encodeAddress } from "./socket-address.ts";

for (const [address, wanted] of [
  ["10.96.0.1", "10.96.0.1"],
  ["::1", "::1"],
  ["fd00:10:96::a", "fd00:10:96::a"],
  ["fd00:0:0:0:0:0:0:1", "fd00::1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"],
] as const)
  test(`decodeAddress() reads what encodeAddress() makes of ${address}`, () => {
    assert.deepEqual(decodeAddress(encodeAddress({ address, port: 8080 })), { address: wanted, port: 8080 });
  });

test("encodeAddress() writes the kernel's structures", () => {
  assert.equal(
    Buffer.from(encodeAddress({ address: "10.0.0.2", port: 80 })).toString("hex"),
    "020000500a0000020000000000000000",
  );
  assert.equal(
    Buffer.from(encodeAddress({ address: "fd00::2", port: 80 })).toString("hex"),
    "0a00005000000000fd00000000000000000000000000000200000000",
  );
});
