/** Stateful sessions through the whole engine, and the texts that say them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Rig, type Upstream, refusedPort, startAnswering } from "../fixture.ts";
import { filterType, startFilterRig } from "./fixture.ts";
import { formatSessionCookie, formatSessionHeader, parseSessionCookie, parseSessionHeader } from "./session-cookie.ts";

const state = (kind: "cookie" | "header", fields: object): object => ({
  name: `envoy.http.stateful_session.${kind}`,
  typed_config: {
    "@type": `type.googleapis.com/envoy.extensions.http.stateful_session.${kind}.v3.${kind === "cookie" ? "Cookie" : "Header"}BasedSessionState`,
    ...fields,
  },
});
const config = {
  "@type": filterType("stateful_session.v3.StatefulSession"),
  session_state: state("cookie", { cookie: { name: "sid", ttl: "100s" } }),
};
const own = {
  "@type": filterType("stateful_session.v3.StatefulSessionPerRoute"),
  stateful_session: { session_state: state("header", { name: "x-host" }), strict: true },
};

const retry_policy = { retry_on: "connect-failure", num_retries: 2 };

const startHost = (name: string): Promise<Upstream> =>
  startAnswering(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`);
const rigWith = (ports: readonly number[]): Promise<Rig> =>
  startFilterRig(ports, { config, own, route: { retry_policy } });

interface Said {
  readonly status: number;
  readonly body: string;
  /** name=value */
  readonly cookie: string | undefined;
  readonly host: string | null;
}

async function ask(rig: Rig, path: string, headers: Record<string, string> = {}): Promise<Said> {
  const response = await fetch(`http://127.0.0.1:${rig.port}${path}`, { headers });
  const cookie = response.headers.getSetCookie()[0]?.split(";", 1)[0];
  return { status: response.status, body: await response.text(), cookie, host: response.headers.get("x-host") };
}

describe("stateful sessions", () => {
  it("keep to the endpoint of the cookie, and begin anew where it is gone", async () => {
    await using one = await startHost("one");
    await using two = await startHost("two");
    await using three = await startHost("three");
    await using rig = await rigWith([one.port, two.port, three.port]);
    const first = await ask(rig, "/");
    assert.ok(first.cookie?.startsWith('sid="'));
    for (let turn = 0; turn < 10; turn++) {
      const said = await ask(rig, "/", { cookie: first.cookie! });
      assert.deepEqual([said.body, said.cookie], [first.body, undefined]);
    }
    const ports = { one: one.port, two: two.port, three: three.port };
    const left = Object.entries(ports).filter(([name]) => name !== first.body);
    rig.setEndpoints(
      "c",
      left.map(([, port]) => port),
    );
    const moved = await ask(rig, "/", { cookie: first.cookie! });
    assert.equal(moved.status, 200);
    assert.notEqual(moved.body, first.body);
    assert.notEqual(moved.cookie, undefined);
    assert.equal((await ask(rig, "/", { cookie: moved.cookie! })).body, moved.body);
  });

  it("are refused where they are strict and the endpoint is gone, and are none where the filter is off", async () => {
    await using one = await startHost("one");
    await using two = await startHost("two");
    await using rig = await rigWith([one.port, two.port]);
    const { host, body } = await ask(rig, "/own");
    assert.equal((await ask(rig, "/own", { "x-host": host! })).body, body);
    rig.setEndpoints("c", [body === "one" ? two.port : one.port]);
    assert.equal((await ask(rig, "/own", { "x-host": host! })).status, 503);
    assert.equal(rig.records.at(-1)!.flag, "UH");
    assert.deepEqual([(await ask(rig, "/off")).cookie, (await ask(rig, "/own")).status], [undefined, 200]);
  });

  it("do not keep a request at an endpoint that refuses it", async () => {
    await using one = await startHost("one");
    const gone = await refusedPort();
    await using rig = await rigWith([one.port, gone]);
    const asked = { cookie: `sid=${formatSessionCookie(`127.0.0.1:${gone}`, 0)}` };
    const said = await ask(rig, "/", asked);
    assert.deepEqual([said.status, said.body], [200, "one"]);
    assert.ok((rig.records[0]!.attempts ?? 0) > 1);
    assert.deepEqual((await ask(rig, "/", { cookie: said.cookie! })).body, "one");
    assert.equal(rig.records[1]!.attempts, 1);
  });
});

describe("session texts", () => {
  const address = fc.stringMatching(/^[0-9a-f.:[\]]{1,40}$/);

  it("say what they were made of, until their time is over", () => {
    fc.assert(
      fc.property(address, fc.integer({ min: 1, max: 2 ** 40 }), (to, expires) => {
        assert.equal(parseSessionCookie(formatSessionCookie(to, expires), expires), to);
        assert.equal(parseSessionCookie(formatSessionCookie(to, expires), expires + 1), undefined);
        assert.equal(parseSessionCookie(formatSessionCookie(to, 0), expires), to);
        assert.equal(parseSessionHeader(formatSessionHeader(to)), to);
      }),
    );
  });

  it("may be anything", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.string(), (bytes, text) => {
        parseSessionCookie(Buffer.from(bytes).toString("base64"), 1);
        parseSessionCookie(text, 1);
      }),
    );
    for (const text of ["", "AAA", "%%%%", "CgA=", "a===="]) assert.equal(parseSessionCookie(text, 1), undefined, text);
  });

  it("are read in Envoy's older form, the address alone", () => {
    const text = Buffer.from("10.0.0.10:80").toString("base64");
    assert.equal(parseSessionCookie(text, 1), "10.0.0.10:80");
  });
});
