/** Sockets that cannot be had: said once, tried again. */
import assert from "node:assert/strict";
import test from "node:test";
import { realClock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { encodeQuestion, startUpstream } from "../plugin-fixture.ts";
import { plainTransport } from "../transport.ts";
import { parseQuery } from "../wire/query.ts";
import { UDPExchange } from "./udp.ts";

test("ask() tries again for sockets after a failure, and logs the failure once", async (t) => {
  const upstream = await startUpstream(t);
  const logged: string[] = [];
  const note = (message: string): void => void logged.push(message);
  const log: Logger = { debug: note, info: note, warn: note, error: note, with: () => log };
  let failuresLeft = 2;
  const exchange = new UDPExchange({
    clock: realClock,
    random: seededRandom(1),
    log,
    transport: {
      ...plainTransport,
      udp: (family) => (failuresLeft-- > 0 ? Promise.reject(new Error("EMFILE")) : plainTransport.udp(family)),
    },
  });
  t.after(() => exchange.close());
  const query = parseQuery(encodeQuestion("www.outside.test A"));
  assert.ok(query.kind === "query");
  const to = { address: "127.0.0.1", port: upstream.port };
  const ask = { query, keepsCase: true, timeoutMs: 5000 };
  assert.equal(await exchange.ask(to, ask), undefined);
  assert.equal(await exchange.ask(to, ask), undefined);
  assert.deepEqual(logged, ["Cannot open sockets to upstreams: the next query tries again"]);
  assert.equal((await exchange.ask(to, ask))?.kind, "message");
});
