/**
 * One accepted connection, from its filter chain on: TLS where the chain has it, then HTTP/1, HTTP/2 or TCP.
 *
 *   listener.ts (chain is chosen) ─▶ serveChain() ─▶ [TLS handshake] ─▶ downstream.ts │ http2/ │ tcp-proxy.ts
 *
 * What an HTTP chain speaks is what its codec says; "auto" goes by ALPN, or by whether the connection starts with
 * HTTP/2's preface. Invariant: at each moment one Served answers for the connection in drains.
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { messageOf } from "#lib/errors.ts";
import type { CompiledChain } from "./config/listener.ts";
import type { ConnectionInfo, Direction, HTTPContext } from "./context.ts";
import { DownstreamConnection } from "./downstream.ts";
import { HTTP2Connection } from "./http2/downstream.ts";
import { prepareSocket } from "./tcp.ts";
import { type TCPContext, TCPProxy } from "./tcp-proxy.ts";
import { Deadline } from "./timer-wheel.ts";
import { verifyErrorOf } from "./tls/context.ts";
import { readFacts } from "./tls/facts.ts";
import type { DownstreamTLS } from "./tls/types.ts";
import type { EngineDeps } from "./types.ts";

/** Time for a TLS handshake, in ms. */
const handshakeMsMax = 15_000;
/** What an HTTP/2 connection starts with (RFC 9113 §3.4). */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** A connection, as drains see it. */
export interface Served {
  readonly direction: Direction;
  /** Announces the end, where the protocol can. */
  drain(): void;
  /** The same, and closes some time later by itself, behind what is in flight. */
  endKeepAlive(): void;
  closeIfIdle(): void;
  destroy(): void;
}

export interface ServeOptions {
  readonly deps: EngineDeps;
  /** Its name. */
  readonly listener: string;
  readonly info: ConnectionInfo;
  readonly chain: CompiledChain;
  /** Of the chain; undefined for plaintext. */
  readonly tls: DownstreamTLS | undefined;
  /** What plaintext is known to speak. */
  readonly protocol: string | undefined;
  httpContext(): HTTPContext;
  tcpContext(): TCPContext;
  /** From now on `served` answers for the connection. */
  onServed(served: Served): void;
}

/** Serves `socket`; `initial` is what was read from it before. */
export function serveChain(socket: Socket, options: ServeOptions, initial: Buffer | undefined): void {
  if (options.tls === undefined) return serveProtocol(socket, options, { initial, protocol: options.protocol });
  secure(socket, { ...options, tls: options.tls }, initial);
}

/** Runs a step of a connection's set-up; what it throws is logged, counted, and closes the connection. */
export function guarded(
  socket: Socket,
  { deps, listener }: { readonly deps: EngineDeps; readonly listener: string },
  step: () => void,
): void {
  try {
    step();
  } catch (error) {
    deps.counters.setUpErrors++;
    deps.log.error("Cannot serve connection", { listener, error: messageOf(error) });
    socket.on("error", () => undefined).destroy();
  }
}

function secure(
  raw: Socket,
  options: ServeOptions & { readonly tls: DownstreamTLS },
  initial: Buffer | undefined,
): void {
  const { deps, info, tls } = options;
  raw.pause();
  if (initial !== undefined) raw.unshift(initial);
  const socket = new TLSSocket(raw, tls.options());
  const fail = (): void => {
    deps.counters.handshakeErrors++;
    socket.destroy();
  };
  const deadline = new Deadline(fail);
  deps.wheel.arm(deadline, deps.nowMs() + handshakeMsMax);
  const onClose = (): void => deps.wheel.cancel(deadline);
  raw.on("error", () => socket.destroy());
  raw.on("close", () => socket.destroy());
  // Nothing more comes of it, and a socket that is not read keeps no process alive: a drain would wait for nobody.
  const onEnd = (): void => void socket.destroy();
  socket.on("error", fail).on("close", onClose).on("end", onEnd);
  options.onServed(destroying(info.direction, socket));
  // Ended while its chain was chosen.
  if (raw.readableEnded) return onEnd();
  socket.once("secure", () => {
    deps.wheel.cancel(deadline);
    socket.off("error", fail).off("close", onClose).off("end", onEnd);
    const refused = tls.refuse(socket);
    if (refused !== undefined) {
      deps.log.debug("Cannot serve connection", { why: refused.why });
      socket.on("error", () => undefined);
      return fail();
    }
    prepareSocket(socket);
    // What node:tls does where it made the socket itself; node:http2 waits for it.
    Object.assign(socket, { secureConnecting: false });
    const facts = readFacts(socket);
    const hasPeer = tls.requestsCertificate && facts.peer !== undefined;
    // One that is known by its hash alone was not refused above.
    const isKnown = tls.spec.trustedCA === undefined && tls.spec.certificateHashes.length > 0;
    const isTrusted = isKnown || (tls.spec.trustedCA !== undefined && verifyErrorOf(socket) === undefined);
    const peerCertificate = !hasPeer ? "none" : isTrusted ? "validated" : "presented";
    const alpn = socket.alpnProtocol;
    const protocol = alpn === "h2" ? "h2c" : alpn === false || alpn === null ? undefined : "http/1.1";
    const secured = { ...options, info: { ...info, isTLS: true, tls: facts, peerCertificate } as const };
    guarded(socket, options, () => serveProtocol(socket, secured, { initial: undefined, protocol }));
  });
}

/** What is known of the bytes to come. */
interface Start {
  readonly initial: Buffer | undefined;
  /** "http/1.1" or "h2c", where it is known. */
  readonly protocol: string | undefined;
}

function serveProtocol(socket: Socket, options: ServeOptions, { initial, protocol }: Start): void {
  const { chain } = options;
  if (chain.filter.kind === "tcp") return serveTCP(socket, options, initial);
  const { codec } = chain.filter.options;
  if (codec === "http2" || (codec === "auto" && protocol === "h2c")) return serveHTTP2(socket, options, initial);
  if (codec === "http1" || protocol !== undefined) return serveHTTP1(socket, options, initial);
  if (initial !== undefined && initial.length > 0) return serveByPreface(socket, options, initial);
  // The first bytes decide; a connection that is silent is closed as an idle one.
  const { deps, info } = options;
  const deadline = new Deadline(() => socket.destroy());
  const { keepAliveIdleMs } = chain.filter.options;
  if (keepAliveIdleMs > 0) deps.wheel.arm(deadline, deps.nowMs() + keepAliveIdleMs);
  const settle = (): void => {
    deps.wheel.cancel(deadline);
    socket.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose);
  };
  let bytes: Buffer | undefined;
  const onData = (chunk: Buffer): void => {
    bytes = bytes === undefined ? chunk : Buffer.concat([bytes, chunk]);
    // "P" alone may become POST or the preface.
    if (bytes.length < 4 && preface.indexOf(bytes) === 0) return;
    settle();
    const initial = bytes;
    guarded(socket, options, () => serveByPreface(socket, options, initial));
  };
  const onEnd = (): void => {
    settle();
    socket.end();
  };
  const onError = (): void => void socket.destroy();
  const onClose = (): void => settle();
  options.onServed(destroying(info.direction, socket));
  socket.on("data", onData).on("end", onEnd).on("error", onError).on("close", onClose);
}

/** A start that the preface does not have in whole goes to HTTP/1, which waits for more of a line. */
function serveByPreface(socket: Socket, options: ServeOptions, initial: Buffer): void {
  const length = Math.min(initial.length, preface.length);
  // "PRI" begins no request of HTTP/1: a part of the preface that is longer than that decides.
  const isHTTP2 = length > 3 && initial.compare(preface, 0, length, 0, length) === 0;
  if (isHTTP2) serveHTTP2(socket, options, initial);
  else serveHTTP1(socket, options, initial);
}

function serveHTTP1(socket: Socket, options: ServeOptions, initial: Buffer | undefined): void {
  const connection = new DownstreamConnection(socket, options.info, options.httpContext());
  options.onServed(servedBy(options.info.direction, connection));
  connection.start(initial);
}

function serveHTTP2(socket: Socket, options: ServeOptions, initial: Buffer | undefined): void {
  const connection = new HTTP2Connection(socket, options.info, options.httpContext());
  options.onServed(servedBy(options.info.direction, connection));
  connection.start(initial);
}

function serveTCP(socket: Socket, options: ServeOptions, initial: Buffer | undefined): void {
  const proxy = new TCPProxy(socket, options.info, options.tcpContext());
  // A TCP connection does not say when it is idle.
  const nothing = (): void => undefined;
  options.onServed({
    direction: options.info.direction,
    drain: nothing,
    endKeepAlive: nothing,
    closeIfIdle: nothing,
    destroy: () => proxy.destroy(),
  });
  proxy.start(initial);
}

function servedBy(direction: Direction, connection: Omit<Served, "direction">): Served {
  return {
    direction,
    drain: () => connection.drain(),
    endKeepAlive: () => connection.endKeepAlive(),
    closeIfIdle: () => connection.closeIfIdle(),
    destroy: () => connection.destroy(),
  };
}

/** A connection that carries nothing yet. */
export function destroying(direction: Direction, socket: Socket): Served {
  return {
    direction,
    drain: () => undefined,
    endKeepAlive: () => undefined,
    closeIfIdle: () => socket.destroy(),
    destroy: () => socket.destroy(),
  };
}
