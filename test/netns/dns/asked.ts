/**
 * The resolver on all addresses of a host that has several: asked at each by a socket that takes nothing from others.
 * Runs inside of the namespaces that addresses.test.ts makes.
 *
 *   connected socket ─▶ 192.0.2.2, 2001:db8::2, fe80::b … ─▶ listenUDP("::") ─▶ the same socket
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import test from "node:test";
import { silentLogger } from "#lib/log.ts";
import { ServerCounters } from "../../../dns/metrics.ts";
import { listenUDP } from "../../../dns/server/udp.ts";

/** Bound to, asked from, asked. A route to the asker would prefer the first address of its interface. */
const rows = [
  ["0.0.0.0", "192.0.2.1", "192.0.2.2"],
  ["0.0.0.0", "127.0.0.1", "192.0.2.2"],
  ["0.0.0.0", "192.0.2.1", "169.254.20.10"],
  ["::", "192.0.2.1", "192.0.2.2"],
  ["::", "192.0.2.1", "169.254.20.10"],
  ["::", "2001:db8::1", "2001:db8::2"],
  ["::", "::1", "2001:db8::2"],
  ["::", "fe80::1%near", "fe80::a%near"],
  ["::", "fe80::1%near", "fe80::b%near"],
  ["::", "2001:db8::1", "fe80::b%near"],
] as const;

for (const [bound, from, asked] of rows) {
  test(`${from} asks ${asked} of ${bound}`, async (t) => {
    const counters = new ServerCounters();
    const respond = (message: Buffer): Buffer | Promise<Buffer> => {
      const answer = Buffer.from(message);
      return answer.equals(Buffer.from("late")) ? new Promise((resolve) => setImmediate(resolve, answer)) : answer;
    };
    const listener = await listenUDP({ address: bound, port: 0 }, { respond, counters, log: silentLogger });
    t.after(() => listener.close());
    const socket = createSocket(from.includes(":") ? "udp6" : "udp4");
    t.after(() => socket.close());
    socket.bind(0, from);
    await once(socket, "listening");
    socket.connect(listener.port, asked);
    await once(socket, "connect");
    for (const text of ["soon", "late", "soon"]) {
      const arrived = once(socket, "message", { signal: AbortSignal.timeout(3000) });
      socket.send(text);
      assert.equal(String(((await arrived) as [Buffer])[0]), text);
    }
    assert.equal(counters.sendFailures, 0);
  });
}
