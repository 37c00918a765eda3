/**
 * The far end of a tunnel: answers the request for it as its case says, gives back what it is sent behind "echo:", and
 * says "bye" when the other side has ended.
 */
import { once } from "node:events";
import { STATUS_CODES } from "node:http";
import http2, { type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import type { Duplex } from "node:stream";
import type { TunnelCase } from "./tunnel-cases.ts";

/** What differs from run to run, or names the proxy. */
const ignored = /^(x-request-id|x-envoy-expected-rq-timeout-ms|sec-websocket-key|connection):/;

export class TunnelUpstream {
  /** The request's lines, or names and values, sorted. */
  asked: readonly string[] = [];
  /** What came behind it. */
  received = "";
  readonly #server: Server | Http2Server;
  readonly #sockets = new Set<Socket>();

  private constructor(one: TunnelCase) {
    this.#server = one.upstream === "http2" ? this.#createHTTP2(one) : this.#createHTTP1(one);
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(one: TunnelCase): Promise<TunnelUpstream> {
    const upstream = new TunnelUpstream(one);
    upstream.#server.listen(0, "127.0.0.1");
    await once(upstream.#server, "listening");
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #createHTTP1({ upstream, answer, isWebSocket = false }: TunnelCase): Server {
    return createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => socket.destroy());
      if (upstream === "tcp") return this.#echo(socket);
      let head = "";
      const onData = (chunk: Buffer): void => {
        head += chunk.toString("latin1");
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", onData);
        const lines = head.slice(0, end).split("\r\n");
        this.asked = lines
          .map((line) => line.replace(/^[^: ]+:/, (name) => name.toLowerCase()))
          .filter(isTold)
          .sort();
        if (answer === "reset") return void socket.destroy();
        socket.write(http1Answer(answer, isWebSocket, lines));
        const rest = Buffer.from(head.slice(end + 4), "latin1");
        if (rest.length > 0) socket.unshift(rest);
        this.#echo(socket);
      };
      socket.on("data", onData);
    });
  }

  #createHTTP2({ answer }: TunnelCase): Http2Server {
    const server = http2.createServer({ settings: { enableConnectProtocol: true } });
    server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on("error", () => undefined);
      this.asked = Object.entries(headers)
        .map(([name, value]) => `${name}: ${String(value)}`)
        .filter(isTold)
        .sort();
      if (answer === "reset") return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      const [status] = answer.split(" ");
      const isTunnel = Number(status) < 300;
      const length = answer.includes("length") ? { "content-length": "3" } : {};
      stream.respond({ ":status": Number(status), "x-said": "so", ...length });
      if (isTunnel) this.#echo(stream);
      else stream.end("no");
    });
    return server;
  }

  #echo(stream: Duplex): void {
    stream.on("data", (chunk: Buffer) => {
      this.received += chunk.toString("latin1");
      stream.write(`echo:${chunk.toString("latin1")}`);
    });
    stream.on("end", () => stream.end("bye"));
  }
}

const isTold = (line: string): boolean => !ignored.test(line);

function http1Answer(answer: string, isWebSocket: boolean, lines: readonly string[]): string {
  const [status] = answer.split(" ");
  if (answer === "403") return "HTTP/1.1 403 Forbidden\r\nX-Said: so\r\nContent-Length: 2\r\n\r\nno";
  if (answer === "101" || isWebSocket) {
    const protocol = isWebSocket ? "websocket" : "other";
    const key = lines.some((line) => /^sec-websocket-key:/i.test(line)) ? "Sec-WebSocket-Accept: ours\r\n" : "";
    return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${key}X-Said: so\r\n\r\n`;
  }
  const length = answer.includes("length") ? "Content-Length: 3\r\n" : "";
  return `HTTP/1.1 ${status!} ${STATUS_CODES[status!]!}\r\nX-Said: so\r\n${length}\r\n`;
}
