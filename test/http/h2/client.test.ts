/**
 * HTTP/2 towards upstreams that misbehave: what the engine tells them, what the request gets, and that others are
 * unharmed: those on the same connection where the error is of one stream, and those that come behind in any case.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Rig, eventually, startRig, staticCluster } from "../../../proxy/l7/fixture.ts";
import { type ClientCase, clientCases } from "./client-cases.ts";
import { FramePeer } from "./client-peer.ts";

const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

async function rigTo(port: number): Promise<Rig> {
  const explicit_http_config = { http2_protocol_options: {} };
  const options = { [optionsName]: { "@type": `type.googleapis.com/${optionsName}`, explicit_http_config } };
  const routes = [{ match: { prefix: "/" }, route: { cluster: "up" } }];
  return startRig({
    routes: { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    clusters: [{ ...staticCluster("up", [port]), typed_extension_protocol_options: options }],
  });
}

/** "STATUS FLAG" of a request; "cut" where its response was not whole. */
async function ask({ port }: Rig): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    await response.text();
    return `${response.status} ${response.headers.get("x-wherry-error")?.split(" ")[0] ?? "-"}`;
  } catch {
    return "cut";
  }
}

async function play({ send }: ClientCase): Promise<{ tells: string; answers: readonly string[] }> {
  await using peer = await FramePeer.start(send);
  await using rig = await rigTo(peer.port);
  const first = ask(rig);
  await eventually(() => rig.cluster("up").limits.default.used.requests === 1, "first stream");
  const second = ask(rig);
  const answers = [await first, await second, await ask(rig)];
  const { used } = rig.cluster("up").limits.default;
  assert.deepEqual(used, { connections: 0, pending: 0, requests: 0, retries: 0 });
  if (answers[1] !== "200 -") await eventually(() => peer.told.length > 0, "an error that is told");
  return { tells: peer.told[0] ?? "nothing", answers };
}

for (const one of clientCases)
  test(`${one.section}: ${one.what}`, async () => {
    const { tells, answers } = await play(one);
    const [answer, other, next] = answers;
    assert.equal(answer, one.answer);
    assert.ok(one.tells.includes(tells), `${tells}, not ${one.tells.join(" or ")}`);
    const isOfConnection = tells.startsWith("GOAWAY") || tells === "close";
    assert.equal(other, one.other ?? (isOfConnection ? "502 UPE" : "200 -"));
    assert.equal(next, "200 -");
  });
