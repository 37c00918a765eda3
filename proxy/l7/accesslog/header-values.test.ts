/** Values with %OPERATORS% in headers: what is known when they are made, end to end on loopback. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RouteConfiguration } from "#api/xds/envoy.ts";
import { ManualClock } from "#lib/clock.ts";
import { filterType, startFilterRig } from "../filters/fixture.ts";
import { raw, startAnswering, startRig, staticCluster } from "../fixture.ts";

const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
const add = (key: string, value: string): object => ({ header: { key, value } });
const adds = [
  add("X-Day", "[%START_TIME(%Y-%m-%d)%]"),
  add("X-Start", "%START_TIME(%s.%3f)%"),
  add("X-Flags", "%RESPONSE_FLAGS%/%RESPONSE_CODE%/%UPSTREAM_REQUEST_ATTEMPT_COUNT%/%RESPONSE_TX_DURATION%"),
];
const valueOf = (text: string, name: string): string | undefined =>
  new RegExp(`^${name}: (.*)\r$`, "im").exec(text)?.[1];

const routes = {
  name: "routes",
  response_headers_to_add: adds,
  virtual_hosts: [
    {
      name: "all",
      domains: ["*"],
      request_headers_to_add: adds,
      routes: [
        { match: { path: "/direct" }, direct_response: { status: 201 } },
        { match: { prefix: "/" }, route: { cluster: "c" } },
      ],
    },
  ],
} as unknown as RouteConfiguration;

describe("Header values", () => {
  it("have the start of their request, the same in request and response", async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6));
    await using upstream = await startAnswering(answer);
    await using rig = await startRig({ clock, clusters: [staticCluster("c", [upstream.port])], routes });
    const answered = await raw(rig.port, get("/"));
    for (const text of [answered, upstream.received.join("")]) {
      assert.equal(valueOf(text, "x-day"), "[2026-01-02]");
      assert.equal(valueOf(text, "x-start"), "1767323045.006");
    }
    assert.equal(rig.records[0]!.startMs, Date.UTC(2026, 0, 2, 3, 4, 5, 6));
  });

  it("say of what is not over only what is known, as Envoy does", async () => {
    await using upstream = await startAnswering(answer);
    await using rig = await startRig({ clusters: [staticCluster("c", [upstream.port])], routes });
    assert.equal(valueOf(await raw(rig.port, get("/")), "x-flags"), "-/200/1/");
    assert.equal(valueOf(upstream.received.join(""), "x-flags"), "-/0/1/");
    assert.equal(valueOf(await raw(rig.port, get("/direct")), "x-flags"), "-/0/0/");
  });

  it("have it in header_mutation, too, before and behind the route", async () => {
    await using upstream = await startAnswering(answer);
    const mutations = [{ append: add("X-Day", "%START_TIME(%Y)% %VIRTUAL_HOST_NAME% %RESPONSE_CODE%") }];
    const config = {
      "@type": filterType("header_mutation.v3.HeaderMutation"),
      mutations: { request_mutations: mutations, response_mutations: mutations },
    };
    const own = { "@type": filterType("cors.v3.CorsPolicy") };
    await using rig = await startFilterRig([upstream.port], { config, own });
    assert.match(valueOf(await raw(rig.port, get("/")), "x-day")!, /^2\d{3} all 200$/);
    assert.match(valueOf(upstream.received.join(""), "x-day")!, /^2\d{3} all 0$/);
  });
});
