/** gRPC through the engine, by the client and the server of @grpc/grpc-js: what they see is what they see without it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import type { Cluster as ClusterResource } from "#api/xds/envoy.ts";
import { type Rig, eventually, refusedPort, routesTo, startRig, staticCluster } from "../fixture.ts";
import { encodeMessage, grpcStatusOf, isGRPC } from "./grpc.ts";

const bytes = (value: Buffer): Buffer => value;
const method = (
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): grpc.MethodDefinition<Buffer, Buffer> => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const service = {
  unary: method("Unary", false, false),
  upload: method("Upload", true, false),
  download: method("Download", false, true),
  chat: method("Chat", true, true),
};

const cancelled: string[] = [];
const implementation: grpc.UntypedServiceImplementation = {
  unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
    const text = call.request.toString();
    const trailers = new grpc.Metadata();
    trailers.set("x-trailer", "late");
    if (text === "slow") return void call.once("cancelled", () => cancelled.push("slow"));
    if (text === "fail") return done({ code: grpc.status.FAILED_PRECONDITION, details: "not now: 100 %" });
    call.sendMetadata(call.metadata);
    done(null, Buffer.from(`<${text}>`), trailers);
  },
  upload: (call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
    let received = 0;
    call.on("data", (part: Buffer) => (received += part.length));
    call.on("end", () => done(null, Buffer.from(String(received))));
  },
  download: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
    let left = Number(call.request.toString());
    const part = Buffer.alloc(64 * 1024, "x");
    const push = (): void => {
      while (left > 0) {
        left--;
        if (!call.write(part)) return void call.once("drain", push);
      }
      call.end();
    };
    push();
  },
  chat: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
    call.on("data", (part: Buffer) => call.write(Buffer.from(`<${part.toString()}>`)));
    call.on("end", () => call.end());
    call.on("cancelled", () => cancelled.push("chat"));
  },
};

const server = new grpc.Server();
let rig: Rig;
let client: grpc.Client;

before(async () => {
  server.addService(service, implementation);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  rig = await startRig({ routes: routesTo("up"), clusters: [grpcCluster(port)] });
  client = clientOf(rig.port);
});

after(async () => {
  client.close();
  server.forceShutdown();
  await rig[Symbol.asyncDispose]();
});

function grpcCluster(port: number): ClusterResource {
  return { ...staticCluster("up", [port]), http2_protocol_options: {} } as ClusterResource;
}

function clientOf(port: number): grpc.Client {
  // Fast pings, which must be answered by the engine and not passed on.
  const options = { "grpc.keepalive_time_ms": 10_000, "grpc.keepalive_permit_without_calls": 1 };
  return new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), options);
}

interface Outcome {
  readonly reply: string;
  readonly status: grpc.StatusObject;
}

async function unary(text: string, options: grpc.CallOptions = {}, by: grpc.Client = client): Promise<Outcome> {
  return new Promise((resolve) => {
    let reply = "";
    const metadata = new grpc.Metadata();
    metadata.set("x-bin-bin", Buffer.from([0, 255]));
    const { path } = service.unary;
    const call = by.makeUnaryRequest(
      path,
      bytes,
      bytes,
      Buffer.from(text),
      metadata,
      options,
      (_error, value?: Buffer) => {
        reply = value?.toString() ?? "";
      },
    );
    call.on("status", (status) => setImmediate(() => resolve({ reply, status })));
  });
}

test("gRPC unary calls carry message, metadata and trailers", async () => {
  const { reply, status } = await unary("hello");
  assert.equal(reply, "<hello>");
  assert.equal(status.code, grpc.status.OK);
  assert.deepEqual(status.metadata.get("x-trailer"), ["late"]);
});

test("gRPC errors come as trailers alone, with their details", async () => {
  const { status } = await unary("fail");
  assert.equal(status.code, grpc.status.FAILED_PRECONDITION);
  assert.equal(status.details, "not now: 100 %");
});

test("gRPC deadlines and cancellation reach the server", async () => {
  const { status } = await unary("slow", { deadline: new Date(performance.timeOrigin + performance.now() + 100) });
  assert.equal(status.code, grpc.status.DEADLINE_EXCEEDED);
  await eventually(() => cancelled.includes("slow"), "deadline");
  const call = client.makeBidiStreamRequest(service.chat.path, bytes, bytes);
  call.on("error", () => undefined);
  call.write(Buffer.from("one"));
  const [part] = await new Promise<[Buffer]>((resolve) => call.once("data", (data: Buffer) => resolve([data])));
  assert.equal(part.toString(), "<one>");
  call.cancel();
  await eventually(() => cancelled.includes("chat"), "cancellation");
});

test("gRPC streams pass 100 MB each way", async () => {
  const parts = 1600;
  let received = 0;
  const download = client.makeServerStreamRequest(service.download.path, bytes, bytes, Buffer.from(String(parts)));
  await new Promise<void>((resolve, reject) => {
    download.on("data", (part: Buffer) => (received += part.length));
    download.on("end", () => resolve());
    download.on("error", reject);
  });
  assert.equal(received, parts * 64 * 1024);
  const answer = await new Promise<string>((resolve, reject) => {
    const done = (error: grpc.ServiceError | null, value?: Buffer): void =>
      error === null ? resolve(value?.toString() ?? "") : reject(error);
    const call = client.makeClientStreamRequest(service.upload.path, bytes, bytes, done);
    const part = Buffer.alloc(64 * 1024, "x");
    let left = parts;
    const push = (): void => {
      if (left-- > 0) call.write(part, push);
      else call.end();
    };
    push();
  });
  assert.equal(answer, String(parts * 64 * 1024));
});

test("gRPC streams chat in both directions at once", async () => {
  const call = client.makeBidiStreamRequest(service.chat.path, bytes, bytes);
  const replies: string[] = [];
  const done = new Promise<grpc.StatusObject>((resolve) => call.on("status", resolve));
  call.on("data", (part: Buffer) => {
    if (replies.push(part.toString()) === 100) return call.end();
    call.write(Buffer.from(String(replies.length)));
  });
  call.write(Buffer.from("0"));
  assert.equal((await done).code, grpc.status.OK);
  assert.equal(replies.at(-1), "<99>");
});

test("gRPC callers read UNAVAILABLE where the engine answers for a server that is not there", async () => {
  await using broken = await startRig({ routes: routesTo("up"), clusters: [grpcCluster(await refusedPort())] });
  const caller = clientOf(broken.port);
  try {
    const { status } = await unary("hello", {}, caller);
    assert.equal(status.code, grpc.status.UNAVAILABLE);
    assert.match(status.details, /^Cannot connect to an endpoint of up/);
  } finally {
    caller.close();
  }
});

test("isGRPC() tells gRPC from gRPC-Web, grpcStatusOf() maps as Envoy does, encodeMessage() escapes", () => {
  const headers = (value: string): Parameters<typeof isGRPC>[0] => ({
    names: ["Content-Type"],
    keys: ["content-type"],
    values: [value],
  });
  const types = ["application/grpc", "application/grpc+proto", "application/grpc-web", "application/json"];
  assert.deepEqual(
    types.map((type) => isGRPC(headers(type))),
    [true, true, false, false],
  );
  assert.deepEqual([200, 400, 401, 403, 404, 429, 500, 503].map(grpcStatusOf), [2, 13, 16, 7, 12, 14, 2, 14]);
  assert.equal(encodeMessage("100 % ü\n"), "100 %25 %C3%BC%0A");
});
