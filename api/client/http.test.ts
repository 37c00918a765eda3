/** What goes over the wire, and what answers become. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { configMaps } from "#api/core/configmap.ts";
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { StatusError } from "#api/status.ts";
import { ManualClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import { type HttpClientOptions, HttpKubeClient, objectPath } from "./http.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Runs `body` with a client of a server that answers so; gives `METHOD path body` of each request. */
async function withServer(
  answer: Answer,
  body: (client: HttpKubeClient, asked: string[], port: number) => Promise<void>,
  time: Pick<HttpClientOptions, "clock" | "random"> = {},
): Promise<void> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    void text(request).then((sent) => {
      asked.push(`${request.method} ${request.url} ${request.headers["content-type"] ?? ""} ${sent}`.trim());
      answer(request, response);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = new HttpKubeClient({ server: `http://127.0.0.1:${port}`, ca: "", cert: "", key: "", ...time });
  try {
    await body(client, asked, port);
  } finally {
    await client.close();
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

const json =
  (code: number, value: unknown): Answer =>
  (_, response) =>
    void response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(value));

const key = { namespace: "shop", name: "web" };
const object = { apiVersion: "v1", kind: "ConfigMap", metadata: key };

describe("HttpKubeClient", () => {
  it("speaks the API's paths, verbs and media types", async () => {
    await withServer(json(200, object), async (client, asked) => {
      assert.deepEqual(await client.get(configMaps, key), object);
      await client.list(pods, { fieldSelector: "spec.nodeName=node1", labelSelector: "a=b" });
      await client.create(configMaps, object);
      await client.update(configMaps, object);
      await client.patchStatus(nodes, { name: "node1" }, { status: {} });
      await client.delete(pods, key, { gracePeriodSeconds: 0 });
      const sent = JSON.stringify(object);
      assert.deepEqual(asked.slice(0, 5), [
        "GET /api/v1/namespaces/shop/configmaps/web",
        "GET /api/v1/pods?labelSelector=a%3Db&fieldSelector=spec.nodeName%3Dnode1",
        `POST /api/v1/namespaces/shop/configmaps application/json ${sent}`,
        `PUT /api/v1/namespaces/shop/configmaps/web application/json ${sent}`,
        'PATCH /api/v1/nodes/node1/status application/merge-patch+json {"status":{}}',
      ]);
      assert.match(asked[5] ?? "", /^DELETE \/api\/v1\/namespaces\/shop\/pods\/web .*"gracePeriodSeconds":0/);
    });
  });

  it("throws the Status that the server answered", async () => {
    const { status } = new StatusError("Conflict", "stale");
    await withServer(json(409, status), async (client) => {
      await assert.rejects(client.get(pods, key), { name: "StatusError", code: "Conflict", message: "stale" });
    });
    await withServer(json(500, { ...status, reason: "constructor" }), async (client) => {
      await assert.rejects(client.get(pods, key), { code: "InternalError" });
    });
  });

  it("says what else answered", async () => {
    const page: Answer = (_, response) => void response.writeHead(502).end("<html>");
    await withServer(page, async (client) => {
      await assert.rejects(client.get(pods, key), {
        code: "NotAStatus",
        message: "Cannot GET /api/v1/namespaces/shop/pods/web: 502 <html>",
      });
    });
  });

  it("gives the events of a watch, and throws the error that one carries", async () => {
    const { status } = new StatusError("Expired", "too old");
    const events = [
      { type: "ADDED", object },
      { type: "ERROR", object: status },
    ];
    const answer: Answer = (_, response) => {
      const bytes = events.map((event) => `${JSON.stringify(event)}\n`).join("");
      response.write(bytes.slice(0, 10));
      response.end(bytes.slice(10));
    };
    await withServer(answer, async (client, asked) => {
      const stream = client.watch(configMaps, { resourceVersion: "7" }, new AbortController().signal);
      const watch = stream[Symbol.asyncIterator]();
      assert.deepEqual((await watch.next()).value, events[0]);
      await assert.rejects(watch.next(), { code: "Expired" });
      assert.match(asked[0] ?? "", /resourceVersion=7&watch=true&allowWatchBookmarks=true&timeoutSeconds=[345]\d\d$/);
    });
  });

  it("ends a watch whose server is silent for longer than it was told to be", async () => {
    const clock = new ManualClock();
    const open: Answer = (_, response) => {
      response.writeHead(200);
      response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
    };
    const time = { clock, random: { ...seededRandom(1), next: () => 0.5 } };
    await withServer(
      open,
      async (client, asked) => {
        const watch = client.watch(configMaps, {}, new AbortController().signal)[Symbol.asyncIterator]();
        await watch.next();
        assert.match(asked[0] ?? "", /timeoutSeconds=450$/);
        let hasEnded = false;
        const end = watch.next().then(({ done }) => {
          hasEnded = true;
          return done;
        });
        clock.advance(479_999);
        await new Promise((resolve) => setImmediate(resolve));
        assert.equal(hasEnded, false);
        clock.advance(1);
        assert.equal(await end, true);
        // The next request has a connection of its own: the silent one is gone.
        const again = client.watch(configMaps, {}, new AbortController().signal)[Symbol.asyncIterator]();
        assert.equal((await again.next()).done, false);
      },
      time,
    );
  });

  it("has a watch's connection probed after 30 s without a byte", async () => {
    const open: Answer = (_, response) => {
      response.writeHead(200);
      response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
    };
    await withServer(open, async (client, _asked, port) => {
      const watch = client.watch(configMaps, {}, new AbortController().signal)[Symbol.asyncIterator]();
      await watch.next();
      // proc(5): local and remote address, state, queues, then which timer runs (2: keepalive) and for how long.
      const hex = port.toString(16).toUpperCase().padStart(4, "0");
      const line = new RegExp(`^ *\\d+: \\S+ \\S+:${hex} 01 \\S+ 02:(\\S+)`, "m");
      const [, ticks = ""] = line.exec(readFileSync("/proc/self/net/tcp", "utf8")) ?? [];
      const seconds = Number.parseInt(ticks, 16) / 100;
      assert.ok(seconds > 20 && seconds <= 30.5, `${seconds} s`);
    });
  });

  it("ends a watch by the signal", async () => {
    const stop = new AbortController();
    const open: Answer = (_, response) => response.writeHead(200).flushHeaders();
    await withServer(open, async (client) => {
      const stream = client.watch(configMaps, {}, stop.signal);
      const next = stream[Symbol.asyncIterator]().next();
      stop.abort();
      await assert.rejects(next);
    });
  });
});

describe("objectPath()", () => {
  it("escapes names", () => {
    assert.equal(objectPath(pods, { namespace: "a", name: "b/../c" }), "/api/v1/namespaces/a/pods/b%2F..%2Fc");
  });
});
