/** cache against what the plugins below it say, by a clock that the test moves; forward.test.ts has real upstreams. */
import assert from "node:assert/strict";
import test from "node:test";
import { type Clock, ManualClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import { silentLogger } from "#lib/log.ts";
import { type Answer, answerOf, recordsOf, statusAnswer } from "../answer.ts";
import { parseCorefile } from "../corefile/parse.ts";
import { encodeQuestion } from "../plugin-fixture.ts";
import type { Handler, Proto, Request } from "../plugin.ts";
import { HTTPRegistry } from "../server/admin.ts";
import { plainTransport } from "../transport.ts";
import { flags, rcodes } from "../wire/constants.ts";
import { addressRecord, soaRecord } from "../wire/data.ts";
import { keyOfOwn } from "../wire/name.ts";
import { parseQuery } from "../wire/query.ts";
import { encodeSections } from "../wire/record.ts";
import { cache } from "./cache.ts";

const name = keyOfOwn("a.example.org");

/** The plugin of a Corefile's `cache`, in front of `next`. */
function cacheBefore(next: Handler, text: string, clock: Clock): Handler {
  const absent = (): never => {
    throw new Error("not there");
  };
  const environmentVariable = (): undefined => undefined;
  const [block] = parseCorefile(`. {\n${text}\n}`, { file: "C", port: 53, environmentVariable, readImport: absent });
  const site = { server: "dns://:53", zone: ".", zones: ["\0"], plugins: () => new Map() };
  const plugin = cache.setup(block?.directives ?? [], site, {
    clock,
    random: seededRandom(1),
    log: silentLogger,
    transport: plainTransport,
    http: new HTTPRegistry(),
    readFile: absent,
    readFolder: absent,
    environmentVariable,
    fatal: absent,
    reload: absent,
    lifecycle: { isStopping: false, lameduckMs: 0 },
  });
  return plugin.wrap?.(next, () => next) ?? next;
}

function ask(proto: Proto = "udp", edns?: number): Request {
  const query = parseQuery(encodeQuestion("a.example.org A", edns));
  assert.ok(query.kind === "query");
  return { query, proto, client: "10.0.0.1", clientPort: 1, depth: 0 };
}

const answer = answerOf({
  plugin: "forward",
  sections: encodeSections(name, { answer: [addressRecord({ name, ttl: 30 }, Uint8Array.of(192, 0, 2, 1))] }),
});
const denial = answerOf({
  plugin: "forward",
  rcode: rcodes.nxDomain,
  sections: encodeSections(name, {
    authority: [
      soaRecord(
        { name: keyOfOwn("org"), ttl: 30 },
        { mname: name, rname: name, serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 30 },
      ),
    ],
  }),
});

/** `NXDOMAIN 0` or so: rcode, and TTL of the first record. */
function show(query: Request["query"], given: Answer): string {
  const { answer: answers, authority } = recordsOf(query, given);
  return `${given.rcode} ${[...answers, ...authority][0]?.ttl}`;
}

for (const [what, kept] of Object.entries({ answer, denial })) {
  test(`cache keeps a valid ${what} when its renewal fails`, async () => {
    const clock = new ManualClock();
    let next: Answer = kept;
    let asked = 0;
    const handler = cacheBefore(async () => (asked++, next), "cache {\nprefetch 1 1m 90%\n}", clock);
    await handler(ask());
    await clock.advance(5000);
    next = statusAnswer(rcodes.servFail, "forward");
    for (const leftSeconds of [25, 24]) {
      const found = await handler(ask());
      assert.equal(show(ask().query, found), `${kept.rcode} ${leftSeconds}`);
      await clock.advance(1000);
    }
    assert.equal(asked, 3);
    await clock.advance(24_000);
    assert.equal((await handler(ask())).rcode, rcodes.servFail);
  });
}

test("cache has a question over TCP, or with EDNS, wait for no answer over UDP that may be cut", async () => {
  const waiting: { readonly request: Request; readonly give: (answer: Answer) => void }[] = [];
  const next: Handler = (request) => new Promise((give) => void waiting.push({ request, give }));
  const handler = cacheBefore(next, "cache", new ManualClock());
  const asked = [ask("udp"), ask("udp"), ask("tcp"), ask("tls"), ask("udp", 1232), ask("udp", 4096)];
  const found = asked.map(async (request) => handler(request));
  assert.deepEqual(
    waiting.map(({ request }) => `${request.proto} ${request.query.payloadBytes}`),
    ["udp undefined", "tcp undefined", "udp 1232"],
  );
  const cut = { ...answer, flags: flags.truncated };
  for (const { request, give } of waiting) give(request.proto === "tcp" ? answer : cut);
  const areCut = (await Promise.all(found)).map((each) => (each.flags & flags.truncated) !== 0);
  assert.deepEqual(areCut, [true, true, false, false, true, true]);
});

const noRefresh = {
  "a refusal (forward at max_concurrent)": statusAnswer(rcodes.refused, "forward"),
  "a failure": statusAnswer(rcodes.servFail, "forward"),
  "what upstreams do not know how to do": statusAnswer(rcodes.notImp, "forward"),
  "an answer that was cut": answerOf({ plugin: "forward", flags: flags.truncated }),
};
for (const [what, poor] of Object.entries(noRefresh)) {
  for (const mode of ["verify", "immediate"]) {
    test(`cache gives a stale answer rather than ${what}, with serve_stale ${mode}`, async () => {
      const clock = new ManualClock();
      let next: Answer = answer;
      // At once, as forward says REFUSED.
      const handler = cacheBefore(() => next, `cache {\nserve_stale 1h ${mode}\n}`, clock);
      await handler(ask());
      await clock.advance(60_000);
      next = poor;
      for (let times = 0; times < 2; times++) assert.equal(show(ask().query, await handler(ask())), "0 0");
      next = denial;
      const found = await handler(ask());
      assert.equal(found.rcode, mode === "verify" ? rcodes.nxDomain : rcodes.noError);
      assert.equal((await handler(ask())).rcode, rcodes.nxDomain);
    });
  }
}

for (const skewMs of [-3_600_000, 3_600_000]) {
  test(`cache counts TTLs by time that passes, when the wall clock is set by ${skewMs / 1000} s`, async () => {
    const manual = new ManualClock();
    let offsetMs = 0;
    const clock: Clock = {
      nowMs: () => manual.nowMs() + offsetMs,
      monotonicMs: () => manual.monotonicMs(),
      after: (delayMs, callback) => manual.after(delayMs, callback),
      sleep: (delayMs, signal) => manual.sleep(delayMs, signal),
    };
    let asked = 0;
    const handler = cacheBefore(() => (asked++, answer), "cache", clock);
    await handler(ask());
    offsetMs = skewMs;
    await manual.advance(10_000);
    const found = await handler(ask());
    assert.equal(`${show(ask().query, found)} ${found.validity?.isOver}`, "0 20 false");
    assert.equal(asked, 1);
    await manual.advance(21_000);
    assert.equal(found.validity?.isOver, true);
    await handler(ask());
    assert.equal(asked, 2);
  });
}
