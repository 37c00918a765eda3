/** What clients should not send, over real sockets: each is refused in words, and the server goes on. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { Writer } from "#api/xds/wire.ts";
import { apiVersionOf, collectionPath } from "#api/kind.ts";
import { kinds } from "#api/scheme.ts";
import { seededRandom } from "#lib/random.ts";
import { type Reply, type Testbed, textOf, testToken, withServer } from "./testbed.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } };

function refused(reply: Reply, code: number, message: RegExp): void {
  assert.equal(reply.code, code, reply.text.slice(0, 300));
  assert.match(textOf(reply.body["message"]), message);
}

/** Sends bytes as they are; what comes back until the server closes, or until `enough` of it. */
function exchange(port: number, chunks: readonly (string | Buffer)[], enough: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    const finish = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (enough.test(text)) finish();
    });
    socket.on("error", reject);
    socket.on("close", finish);
    for (const chunk of chunks) socket.write(chunk);
  });
}

const head = (method: string, path: string, headers: string): string =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${testToken}\r\n${headers}\r\n`;

function envelope(apiVersion: string, kind: string, raw: Uint8Array): Buffer {
  const field = (id: number, bytes: Uint8Array): Uint8Array => {
    const writer = new Writer();
    writer.tag(id, 2);
    writer.bytes(bytes);
    return writer.finish();
  };
  const type = field(1, Buffer.concat([field(1, Buffer.from(apiVersion)), field(2, Buffer.from(kind))]));
  return Buffer.concat([Buffer.from("k8s\0"), type, field(2, raw)]);
}

function postProtobuf(port: number, path: string, body: Buffer): Promise<string> {
  const headers = `Content-Type: application/vnd.kubernetes.protobuf\r\nContent-Length: ${body.length}\r\nConnection: close\r\n`;
  return exchange(port, [head("POST", path, headers), body], /$^/);
}

test("bytes that are no message of their kind are a client's mistake, for every kind", async () => {
  await withServer(async ({ port, call }) => {
    const random = seededRandom(7);
    for (const kind of kinds) {
      const path = collectionPath(kind, kind.namespaced ? "default" : undefined);
      const good = envelope(apiVersionOf(kind), kind.kind, Buffer.from([0x0a, 0x03, 0x0a, 0x01, 0x61]));
      const bodies = [
        envelope(apiVersionOf(kind), kind.kind, random.bytes(40)),
        envelope(apiVersionOf(kind), kind.kind, Buffer.alloc(20_000, 0x0b)),
        // Messages in messages, as deep as the bytes allow.
        envelope(apiVersionOf(kind), kind.kind, Buffer.alloc(20_000, 0x12)),
        good.subarray(0, good.length - 2),
        Buffer.concat([good, Buffer.from([0xff, 0xff])]),
      ];
      for (const body of bodies) {
        const answer = await postProtobuf(port, path, body);
        assert.match(answer, /^HTTP\/1\.1 4\d\d /, `${kind.kind}: ${answer.slice(0, 300)}`);
      }
    }
    assert.equal((await call("GET", "/readyz")).code, 200);
  });
});

test("a body of 4 MB is refused, announced or not, and the connection goes on", async () => {
  await withServer(async ({ port }) => {
    const text = JSON.stringify({ ...configMap, data: { x: "x".repeat(4 * 1024 * 1024) } });
    const next = head("GET", "/livez", "");
    const announced = `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n`;
    const first = await exchange(port, [head("POST", configMaps, announced), text, next], /ok$/);
    assert.match(first, /^HTTP\/1\.1 413 .*"reason":"RequestEntityTooLarge".*HTTP\/1\.1 200 OK/s);
    const chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    const frame = [`${text.length.toString(16)}\r\n`, text, "\r\n0\r\n\r\n"];
    const second = await exchange(port, [head("POST", configMaps, chunked), ...frame, next], /ok$/);
    assert.match(second, /^HTTP\/1\.1 413 .*HTTP\/1\.1 200 OK/s);
  });
});

test("JSON that nests 10,000 levels deep is refused wherever it stands", async () => {
  await withServer(async ({ call, port }) => {
    assert.equal((await call("POST", configMaps, configMap)).code, 201);
    const deep = `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`;
    refused(await call("POST", configMaps, deep), 400, /nests deeper than 100 levels/);
    refused(await call("DELETE", `${configMaps}/a`, deep), 400, /nests deeper than 100 levels/);
    for (const type of ["merge-patch", "strategic-merge-patch", "json-patch"]) {
      const body = type === "json-patch" ? `[{"op":"add","path":"/data","value":${deep}}]` : deep;
      const reply = await call("PATCH", `${configMaps}/a`, body, { "content-type": `application/${type}+json` });
      refused(reply, 400, /nests deeper than 100 levels/);
    }
    const raw = Buffer.from(deep);
    const length = new Writer();
    length.tag(1, 2);
    length.bytes(raw);
    const data = length.finish();
    const outer = new Writer();
    outer.tag(2, 2);
    outer.bytes(data);
    const revision = envelope("apps/v1", "ControllerRevision", outer.finish());
    const path = "/apis/apps/v1/namespaces/default/controllerrevisions";
    assert.match(await postProtobuf(port, path, revision), /^HTTP\/1\.1 400 .*nests deeper/s);
  });
});

test("a JSON patch has at most 10,000 operations, and cannot nest what a body could not", async () => {
  await withServer(async ({ call }) => {
    assert.equal((await call("POST", configMaps, configMap)).code, 201);
    const patch = (operations: readonly object[]): Promise<Reply> =>
      call("PATCH", `${configMaps}/a`, JSON.stringify(operations), { "content-type": "application/json-patch+json" });
    const test = { op: "test", path: "/kind", value: "ConfigMap" };
    refused(
      await patch(Array.from({ length: 10_001 }, () => test)),
      413,
      /maximum operations in a JSON patch is 10000/,
    );
    assert.equal((await patch(Array.from({ length: 10_000 }, () => test))).code, 200);
    const nesting = Array.from({ length: 200 }, (_, depth) => ({
      op: "add",
      path: `/data${"/a".repeat(depth)}`,
      value: {},
    }));
    refused(await patch(nesting), 422, /the result nests deeper than 100 levels/);
  });
});

test("a field that stands twice is an error under Strict, a warning otherwise, and nothing under Ignore", async () => {
  await withServer(async ({ call }) => {
    const twice = (name: string): string =>
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"},"data":{"a":"1","a":"2"}}`;
    refused(
      await call("POST", `${configMaps}?fieldValidation=Strict`, twice("a")),
      400,
      /^ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a"$/,
    );
    const warned = await call("POST", configMaps, twice("b"));
    assert.deepEqual(warned.warnings, ['299 - "duplicate field \\"data.a\\""']);
    assert.equal(textOf(warned.body["data"]?.["a"]), "2");
    assert.deepEqual((await call("POST", `${configMaps}?fieldValidation=Ignore`, twice("c"))).warnings, []);
    refused(await call("PUT", `${configMaps}/b?fieldValidation=Strict`, twice("b")), 400, /duplicate field "data.a"/);
  });
});

test("media types that are not known, or not to be given, are refused", async () => {
  await withServer(async ({ call }) => {
    const post = (type: string): Promise<Reply> => call("POST", configMaps, "x", { "content-type": type });
    refused(await post("text/plain"), 415, /unknown format/);
    refused(await post("application/json-patch+json"), 415, /unknown format/);
    const get = (accept: string): Promise<Reply> => call("GET", configMaps, undefined, { accept });
    refused(await get("text/html"), 406, /only application\/json/);
    refused(await get(`${"application/x,".repeat(2000)}text/html`), 406, /only application\/json/);
    assert.equal((await get("application/vnd.kubernetes.protobuf, */*")).code, 200);
  });
});

test("heads that are too large and junk are answered, and close only their own connection", async () => {
  await withServer(async ({ port, call }) => {
    const rows: readonly (readonly [string, RegExp])[] = [
      [head("GET", "/livez", `X: ${"x".repeat(100_000)}\r\n`), /^HTTP\/1\.1 431 .*"kind":"Status"/s],
      ["GET /livez HTTP/9.9\r\n\r\n", /^HTTP\/1\.1 400 .*"kind":"Status"/s],
      ["\0\0\0\0", /^HTTP\/1\.1 400 .*"kind":"Status"/s],
      [head("POST", configMaps, "Content-Length: x\r\n"), /^HTTP\/1\.1 400 /],
      [head("POST", configMaps, "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), /^HTTP\/1\.1 400 /],
      [`${head("POST", configMaps, "Transfer-Encoding: chunked\r\n")}zz\r\n`, /^HTTP\/1\.1 400 /],
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", /^HTTP\/1\.1 400 /],
    ];
    for (const [bytes, wanted] of rows) assert.match(await exchange(port, [bytes], /$^/), wanted);
    assert.equal((await call("GET", "/livez")).code, 200);
  });
});

test("a client that takes too long to send its request is told so", async () => {
  await withServer(
    async ({ port }: Testbed) => {
      const slowHead = exchange(port, ["GET /livez HTTP/1.1\r\nHost: x\r\n"], /$^/);
      const slowBody = exchange(port, [head("POST", configMaps, "Content-Length: 100\r\n"), "{"], /$^/);
      for (const answer of await Promise.all([slowHead, slowBody]))
        assert.match(answer, /^HTTP\/1\.1 408 .*"Timeout"/s);
    },
    { requestTimeoutMs: 200 },
  );
});
