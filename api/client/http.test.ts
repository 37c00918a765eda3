/** What goes over the wire, and what answers become. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { configMaps } from "#api/core/configmap.ts";
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { StatusError } from "#api/status.ts";
import { HttpKubeClient, objectPath } from "./http.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Runs `body` with a client of a server that answers so; gives `METHOD path body` of each request. */
async function withServer(
  answer: Answer,
  body: (client: HttpKubeClient, asked: string[]) => Promise<void>,
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
  const client = new HttpKubeClient({ server: `http://127.0.0.1:${port}`, ca: "", cert: "", key: "" });
  try {
    await body(client, asked);
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
      assert.match(asked[0] ?? "", /resourceVersion=7&watch=true&allowWatchBookmarks=true$/);
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
