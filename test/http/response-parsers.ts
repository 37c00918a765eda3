/**
 * The two readers of responses: a downstream behind the engine, and node:http as the client.
 *
 *   bytes ─▶ ResponseEngine.relay() ─▶ what the downstream got, and whether it ended well
 *   bytes ─▶ readResponseByLLHTTP() ─▶ the response that llhttp reads in them, or its error
 */
import { request as startRequest } from "node:http";
import { type Socket, connect } from "node:net";
import { routesTo, startRig, startUpstream, staticCluster } from "../../proxy/l7/fixture.ts";
import { OneWay } from "./parsers.ts";

export interface LLHTTPResponse {
  /** 0: no head was read. */
  readonly status: number;
  readonly body: string;
  /** The message ended as its framing says. */
  readonly isWhole: boolean;
  /** Its code when the bytes were refused. */
  readonly error: string | undefined;
}

/** The response that llhttp reads in `bytes`, as all that a connection says before it ends. */
export async function readResponseByLLHTTP(bytes: string, method: string): Promise<LLHTTPResponse> {
  const socket = new OneWay();
  let status = 0;
  let body = "";
  let isWhole = false;
  let error: string | undefined;
  // The socket is no net.Socket, and needs to be none: the parser alone is of interest.
  const request = startRequest({ createConnection: () => socket, method, host: "a" });
  await new Promise<void>((resolve) => {
    request.on("response", (response) => {
      status = response.statusCode ?? 0;
      response.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
      // What is cut in its body says so by `complete`.
      response.on("error", () => undefined);
      response.on("close", () => (isWhole = response.complete));
    });
    request.on("upgrade", (response) => {
      status = response.statusCode ?? 0;
      resolve();
    });
    request.on("error", (failure: NodeJS.ErrnoException) => (error ??= failure.code ?? failure.message));
    request.on("close", resolve);
    request.end();
    socket.push(Buffer.from(bytes, "latin1"));
    socket.push(null);
  });
  // An error behind the message comes in the same turn.
  await new Promise<void>((resolve) => setImmediate(resolve));
  socket.destroy();
  return { status, body, isWhole, error };
}

export interface ResponseEngine extends AsyncDisposable {
  /** The upstream says `bytes` and ends; resolves with all that the downstream gets of it. */
  relay(bytes: string, method: string): Promise<string>;
}

export async function startResponseEngine(): Promise<ResponseEngine> {
  let said = "";
  const upstream = await startUpstream((socket: Socket) => {
    // The end comes a moment later, so that what was said is read.
    socket.once("data", () => socket.end(said, "latin1"));
  });
  const rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  return {
    async relay(bytes, method) {
      said = bytes;
      const socket = connect({ port: rig.port, host: "127.0.0.1" });
      let text = "";
      socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
      // A reset ends the answer, as an end does.
      socket.on("error", () => socket.destroy());
      socket.write(`${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      await new Promise<void>((resolve) => socket.once("close", () => resolve()));
      return text;
    },
    async [Symbol.asyncDispose]() {
      await rig[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}
