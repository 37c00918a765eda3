/** What listens, under connections that never say a word. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import test from "node:test";
import { connect as connectTLS } from "node:tls";
import { realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { makeCertificate } from "../certificate-fixture.ts";
import { ServerCounters } from "../metrics.ts";
import { listen } from "./listener.ts";

test("listen() bounds connections that never begin their handshake, in number and in time", async (t) => {
  const counters = new ServerCounters();
  const listener = await listen(
    { port: 0, address: "127.0.0.1" },
    {
      scheme: "tls",
      respond: (message) => Buffer.from(message),
      counters,
      clock: realClock,
      log: silentLogger,
      tls: makeCertificate(),
      tcp: { connectionsMax: 5, idleMs: 500 },
    },
  );
  t.after(() => listener.close());
  const open = (): Socket => {
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => socket.destroy());
    t.after(() => socket.destroy());
    return socket;
  };
  const sockets = Array.from({ length: 50 }, open);
  const closed = sockets.map((socket) => once(socket.resume(), "close", { signal: AbortSignal.timeout(5000) }));
  // The kernel accepts in any order: 45 go at once, those that stay when their time is over.
  await Promise.all(closed);
  assert.equal(counters.connectionsRefused, 45);
  const honest = connectTLS({ host: "127.0.0.1", port: listener.port, rejectUnauthorized: false });
  t.after(() => honest.destroy());
  honest.write(Buffer.from([0, 12, ...Array.from({ length: 12 }, () => 7)]));
  const [answer] = (await once(honest, "data")) as [Buffer];
  assert.equal(answer.length, 14);
});

test("close() ends connections whose handshake has not begun", async () => {
  const listener = await listen(
    { port: 0, address: "127.0.0.1" },
    {
      scheme: "tls",
      respond: () => undefined,
      counters: new ServerCounters(),
      clock: realClock,
      log: silentLogger,
      tls: makeCertificate(),
    },
  );
  const socket = connect(listener.port, "127.0.0.1");
  socket.on("error", () => socket.destroy());
  await once(socket, "connect");
  const closed = once(socket.resume(), "close", { signal: AbortSignal.timeout(5000) });
  await listener.close();
  await closed;
});
