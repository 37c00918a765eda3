/** The border inside: what the launcher is asked, and what becomes of its answers. */
import assert from "node:assert/strict";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { once } from "node:events";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import { Border } from "./border.ts";
import type { EgressCancel, EgressRequest } from "./ipc.ts";

function borderOf(): { border: Border; clock: ManualClock; sent: (EgressRequest | EgressCancel)[] } {
  const clock = new ManualClock();
  const sent: (EgressRequest | EgressCancel)[] = [];
  const border = new Border({ clock, log: createLogger("test"), send: (message) => sent.push(message) });
  return { border, clock, sent };
}

/** A connected socket, with its other end. */
async function withPair(use: (socket: Socket, peer: Socket) => Promise<void>): Promise<void> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [peer] = (await once(server, "connection")) as [Socket];
  try {
    await use(socket, peer);
  } finally {
    socket.destroy();
    peer.destroy();
    server.close();
  }
}

describe("Border", () => {
  it("connectUpstream() asks the launcher in the resolver's name, and gives its socket", async () => {
    const { border, sent } = borderOf();
    const connected = border.connectUpstream("127.0.0.53", 53);
    assert.deepEqual(sent, [{ kind: "egressConnect", id: 1, from: "", address: "127.0.0.53", port: 53 }]);
    await withPair(async (socket) => {
      border.receive({ kind: "egressConnected", id: 1 }, socket);
      assert.equal(await connected, socket);
    });
  });

  it("connectUpstream() rejects with the launcher's reason", async () => {
    const { border } = borderOf();
    const connected = border.connectUpstream("127.0.0.53", 53);
    border.receive({ kind: "egressRefused", id: 1, reason: "ECONNREFUSED" }, undefined);
    await assert.rejects(connected, /^CliError: Cannot connect to upstream 127\.0\.0\.53:53: ECONNREFUSED$/);
  });

  it("takes a request back when the launcher does not answer, and closes what comes too late", async () => {
    const { border, clock, sent } = borderOf();
    const connected = border.connectUpstream("127.0.0.53", 53);
    const refused = assert.rejects(connected, /the launcher did not answer/);
    await clock.advance(60_000);
    await refused;
    assert.deepEqual(sent.at(-1), { kind: "egressCancel", id: 1 });
    await withPair(async (socket, peer) => {
      const closed = once(peer.resume(), "close");
      border.receive({ kind: "egressConnected", id: 1 }, socket);
      await closed;
    });
  });
});
