/**
 * The near end of a tunnel: asks for it, sends "ping", waits until it is given back, ends its side and reads the rest.
 */
import { once } from "node:events";
import http2, { type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { TunnelCase } from "./tunnel-cases.ts";

export interface TunnelAnswer {
  /** Status and headers, sorted; empty where there are none. */
  readonly head: readonly string[];
  /** All that came behind it. */
  readonly bytes: string;
}

/** Times that differ, and what names the proxy. */
const ignored = /^(date|server|x-wherry-error|connection|keep-alive|content-length|transfer-encoding):/;
const isTold = (line: string): boolean => !ignored.test(line);
const timeless = (line: string): string =>
  line.replace(/^(x-envoy-upstream-service-time|sec-websocket-accept): .+$/, "$1: N");

export async function askTunnel(port: number, one: TunnelCase): Promise<TunnelAnswer> {
  if (one.downstream === "http2") return askHTTP2(port, one);
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => socket.destroy());
  if (one.downstream === "http1") socket.write(http1Request(one));
  const isTunnel = (text: string): boolean => one.downstream === "tcp" || /^HTTP\/1\.1 (2|101)/.test(text);
  const text = await talk(socket, isTunnel);
  if (one.downstream === "tcp") return { head: [], bytes: text };
  const end = text.indexOf("\r\n\r\n");
  const lines = text.slice(0, Math.max(end, 0)).split("\r\n");
  const head = lines.map((line) => line.replace(/^[^: ]+:/, (name) => name.toLowerCase()));
  const bytes = end < 0 ? "" : text.slice(end + 4);
  return { head: told(head), bytes: isTunnel(text) ? bytes : "" };
}

function http1Request({ isWebSocket = false, headers = {} }: TunnelCase): string {
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (!isWebSocket) return `CONNECT host.example:443 HTTP/1.1\r\nHost: host.example:443\r\n${more.join("")}\r\n`;
  const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
  return `GET /chat HTTP/1.1\r\nHost: host.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}${more.join("")}\r\n`;
}

async function askHTTP2(port: number, { isWebSocket = false, headers = {} }: TunnelCase): Promise<TunnelAnswer> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  try {
    await once(session, "remoteSettings");
    const request = isWebSocket
      ? { ":protocol": "websocket", ":scheme": "http", ":path": "/chat", ":authority": "host.example" }
      : { ":authority": "host.example:443" };
    const version = isWebSocket ? { "sec-websocket-version": "13" } : {};
    const stream = session.request({ ":method": "CONNECT", ...request, ...version, ...headers });
    let status = 0;
    let head: readonly string[] = [];
    stream.on("response", (received: IncomingHttpHeaders) => {
      status = Number(received[":status"]);
      head = Object.entries(received).map(([name, value]) => `${name}: ${String(value)}`);
    });
    stream.on("error", () => undefined);
    const bytes = await talk(
      stream,
      () => status >= 200 && status < 300,
      (open) => stream.once("response", open),
    );
    return { head: told(head), bytes: status < 300 ? bytes : "" };
  } finally {
    session.destroy();
  }
}

function told(lines: readonly string[]): readonly string[] {
  return lines.filter(isTold).map(timeless).sort();
}

/** All that comes until the other side has ended; `onOpen` tells when a head has come, where it is apart. */
async function talk(
  stream: Duplex,
  isTunnel: (text: string) => boolean,
  onOpen?: (open: () => void) => void,
): Promise<string> {
  let text = "";
  let hasSent = false;
  const go = (): void => {
    if (hasSent || !isTunnel(text)) return;
    hasSent = true;
    stream.write("ping");
  };
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    go();
    if (text.includes("echo:ping") || (!hasSent && text.includes("\r\n\r\n"))) stream.end();
  });
  onOpen?.(go);
  if (isTunnel(text)) go();
  const over = [once(stream, "end"), once(stream, "close")];
  await Promise.race(over.map((one) => one.catch(() => undefined)));
  stream.destroy();
  return text;
}
