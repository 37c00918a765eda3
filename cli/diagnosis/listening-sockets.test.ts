import assert from "node:assert/strict";
import { test } from "node:test";
import { parseListening } from "./listening-sockets.ts";

const tables = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8 1 0 100 0 0 10 0
   2: 0601F40A:1F92 0101F40A:C350 01 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue rx_queue tr
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: 0000000000000000FFFF00000601F40A:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   2: 00000000000000000000000001000000:0052 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
`;

test("parseListening() reads the sockets that listen from the kernel's tables of both families", () => {
  assert.deepEqual(
    parseListening(tables).map(({ address, port }) => `${address} ${port}`),
    ["0.0.0.0 8080", "127.0.0.1 8081", ":: 80", "10.244.1.6 81", "0000:0000:0000:0000:0000:0000:0000:0001 82"],
  );
});
