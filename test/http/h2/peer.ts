/**
 * A downstream that speaks HTTP/2 frame by frame, and the engine that it speaks to.
 *
 *   steps of a case ─▶ play() ─▶ loopback, plaintext or TLS ─▶ engine ─▶ node:http      outcome ◀─ frames of the answer
 *
 * An outcome is one line: the first error ("GOAWAY PROTOCOL_ERROR", "RST_STREAM 1 STREAM_CLOSED", "close", "HTTP/1
 * 400") or, once the engine has acknowledged two pings behind all that was sent, what was answered: "200 5" is a
 * response with one DATA frame of five bytes, "200 1 …" one that waits for more window, "ignored" is none. Two pings,
 * because an acknowledgement may overtake the frame that it was queued behind; whatever a frame causes is written
 * before the second.
 */
import { createServer } from "node:http";
import { type AddressInfo, type Socket, connect } from "node:net";
import { once } from "node:events";
import { connect as connectTLS } from "node:tls";
import { httpDefault } from "#proxy/l7/config/http.ts";
import { type CompiledListener, compileListener, plainChain } from "#proxy/l7/config/listener.ts";
import { type Rig, routesTo, startRig, staticCluster } from "../../../proxy/l7/fixture.ts";
import { createAuthority } from "../../../proxy/l7/tls/fixture.ts";
import { type Frame, errorCodes, flags, ping, preface, readFrame, settings, settingsAck, types } from "./frames.ts";

/** Bytes, or what is waited for: a whole answer, a DATA frame more, or that all was looked at that was sent. */
export type Step = Buffer | "answer" | "data" | "settled";

export interface Case {
  /** Of h2spec's list. */
  readonly origin: string;
  /** Of RFC 9113 or, with 7541 in front, of HPACK. */
  readonly section: string;
  readonly what: string;
  readonly send: readonly Step[];
  /** The outcomes that the section allows. */
  readonly wants: readonly string[];
  /** The acknowledgements of what it sends; looked at where they are said. */
  readonly wantsAcks?: readonly string[];
  /** Sends what it sends instead of the preface and the settings. */
  readonly isBare?: boolean;
}

export interface Played {
  readonly outcome: string;
  /** Acknowledgements of settings and pings that the steps sent. */
  readonly acks: readonly string[];
  /** After an error of the connection it was closed. */
  readonly isClosed: boolean;
  /** Requests that the upstream has seen, each in whole: method, target, and the names of fields in order. */
  readonly forwarded: readonly string[];
}

export interface Engine extends AsyncDisposable {
  play(test: Pick<Case, "send" | "isBare">): Promise<Played>;
}

/** Streams at once, as Envoy's recommendation for edges has it. */
export const streamsMax = 100;
/** The upstream answers this to each request but those for `/wait`. */
const answerText = "hello";
/** Only a case that fails takes as long. */
const patienceMs = 5000;

/** `isTLS`: HTTP/2 by ALPN, else by prior knowledge. */
export async function startEngine(isTLS: boolean): Promise<Engine> {
  const forwarded: string[] = [];
  const upstream = createServer((request, response) => {
    request.on("error", () => undefined);
    request.resume().on("end", () => {
      if (!request.complete) return;
      const names = [...Object.keys(request.headers), ...Object.keys(request.trailers)].sort();
      forwarded.push([request.method, request.url, ...names].join(" "));
      if (request.url !== "/wait") response.end(answerText);
    });
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const rig = await startRig({
    routes: routesTo("up"),
    clusters: [staticCluster("up", [(upstream.address() as AddressInfo).port])],
    listener: isTLS ? await tlsListener() : plainListener(),
  });
  return {
    async play(test) {
      const from = forwarded.length;
      await using peer = await startPeer(rig, isTLS);
      const { outcome, isClosed } = await peer.play(test);
      return { outcome, acks: peer.acks, isClosed, forwarded: forwarded.slice(from) };
    },
    async [Symbol.asyncDispose]() {
      await rig[Symbol.asyncDispose]();
      upstream.closeAllConnections();
      await new Promise<void>((resolve) => upstream.close(() => resolve()));
    },
  };
}

function plainListener(): Partial<CompiledListener> {
  const { options } = httpDefault;
  const limited = { ...options, http2: { ...options.http2, concurrentStreamsMax: streamsMax } };
  return {
    defaultChain: plainChain("http", { ...httpDefault, options: limited, routeName: "routes", inline: undefined }),
  };
}

async function tlsListener(): Promise<CompiledListener> {
  const issued = await (await createAuthority()).issue("a");
  const extensions = "type.googleapis.com/envoy.extensions";
  const certificate = {
    certificate_chain: { inline_string: issued.cert },
    private_key: { inline_string: issued.key },
  };
  const manager = {
    "@type": `${extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    rds: { route_config_name: "routes", config_source: { ads: {} } },
    http2_protocol_options: { max_concurrent_streams: streamsMax },
    http_filters: [{ name: "router", typed_config: { "@type": `${extensions}.filters.http.router.v3.Router` } }],
  };
  const context = {
    "@type": `${extensions}.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: { tls_certificates: [certificate], alpn_protocols: ["h2", "http/1.1"] },
  };
  const chain = {
    transport_socket: { name: "envoy.transport_sockets.tls", typed_config: context },
    filters: [{ name: "http", typed_config: manager }],
  };
  const address = { socket_address: { address: "127.0.0.1", port_value: 1 } };
  return compileListener({ name: "test", address, filter_chains: [chain] });
}

async function startPeer(rig: Rig, isTLS: boolean): Promise<Peer> {
  const host = "127.0.0.1";
  const socket = isTLS
    ? connectTLS({ host, port: rig.port, ALPNProtocols: ["h2"], rejectUnauthorized: false })
    : connect({ host, port: rig.port });
  socket.setNoDelay(true);
  await once(socket, isTLS ? "secureConnect" : "connect");
  return new Peer(socket);
}

class Peer implements AsyncDisposable {
  readonly acks: string[] = [];
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #isClosed = false;
  /** The first error. */
  #error: string | undefined;
  #isFatal = false;
  #hasSettings = false;
  #fences = 0;
  #status = "";
  #lengths: number[] = [];
  /** Of them, those that a step has waited for. */
  #seen = 0;
  #hasEnded = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    // A reset ends the connection, as an end does.
    socket.on("error", () => socket.destroy());
    for (const event of ["end", "close"]) socket.on(event, () => this.#onEnd());
  }

  async play({ send, isBare }: Pick<Case, "send" | "isBare">): Promise<{ outcome: string; isClosed: boolean }> {
    if (isBare !== true) {
      this.#socket.write(Buffer.concat([preface, settings()]));
      await this.#until("the handshake", () => this.#hasSettings && this.acks.length > 0);
      this.acks.length = 0;
      this.#socket.write(settingsAck);
    }
    for (const step of send) {
      if (step === "answer") await this.#until("an answer", () => this.#hasEnded);
      else if (step === "data") await this.#untilMore();
      else if (step === "settled") await this.#settle();
      else this.#socket.write(step);
    }
    await this.#settle();
    // An error of the connection ends it (RFC 9113 §5.4.1).
    if (this.#isFatal) await this.#until("the end of the connection", () => this.#isClosed, true);
    return { outcome: this.#error ?? this.#answer(), isClosed: this.#isClosed };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    if (!this.#socket.closed) await once(this.#socket, "close");
  }

  #answer(): string {
    if (this.#status === "") return "ignored";
    return [this.#status, this.#lengths.join("+"), this.#hasEnded ? "" : "…"].filter((part) => part !== "").join(" ");
  }

  async #settle(): Promise<void> {
    for (let fence = 0; fence < 2; fence++) {
      const from = this.#fences;
      this.#socket.write(ping("fence..."));
      await this.#until("a ping's acknowledgement", () => this.#fences > from);
    }
  }

  async #untilMore(): Promise<void> {
    const from = this.#seen;
    await this.#until("a DATA frame", () => this.#lengths.length > from);
    this.#seen = this.#lengths.length;
  }

  /** Errors end each wait, but the one for the end. */
  async #until(what: string, test: () => boolean, isForEnd = false): Promise<void> {
    const timer = setTimeout(() => {
      this.#error ??= `no ${what} within ${patienceMs} ms`;
      this.#wake?.();
    }, patienceMs);
    const isOver = (): boolean => this.#isClosed || (!isForEnd && this.#error !== undefined);
    while (!test() && !isOver()) await new Promise<void>((resolve) => (this.#wake = resolve));
    clearTimeout(timer);
  }

  #onEnd(): void {
    this.#isClosed = true;
    this.#error ??= "close";
    this.#wake?.();
  }

  #onData(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#hasSettings && this.#bytes.toString("latin1", 0, 7) === "HTTP/1.")
      this.#error ??= `HTTP/1 ${this.#bytes.toString("latin1", 9, 12)}`;
    else
      for (let found = readFrame(this.#bytes); found !== undefined; found = readFrame(this.#bytes)) {
        this.#bytes = this.#bytes.subarray(9 + found.payload.length);
        this.#onFrame(found);
      }
    this.#wake?.();
  }

  #onFrame({ type, flags: flag, stream, payload }: Frame): void {
    const isAck = (flag & flags.ack) !== 0;
    if (type === types.settings && isAck) this.acks.push("settings");
    else if (type === types.settings) this.#hasSettings = true;
    else if (type === types.ping && isAck && payload.toString("latin1") === "fence...") this.#fences++;
    else if (type === types.ping && isAck) this.acks.push(payload.toString("latin1"));
    else if (type === types.rstStream) this.#error ??= `RST_STREAM ${stream} ${codeAt(payload, 0)}`;
    else if (type === types.goaway && payload.readUInt32BE(4) !== 0) {
      this.#error ??= `GOAWAY ${codeAt(payload, 4)}`;
      this.#isFatal = true;
    } else if (type === types.headers) this.#status = statusOf(payload);
    else if (type === types.data && payload.length > 0) this.#lengths.push(payload.length);
    if ((type === types.headers || type === types.data) && (flag & flags.endStream) !== 0) this.#hasEnded = true;
  }
}

function codeAt(payload: Buffer, offset: number): string {
  const code = payload.readUInt32BE(offset);
  return errorCodes[code] ?? String(code);
}

/** The first field of a response is its status, mostly by its index in the static table (RFC 7541 appendix A). */
function statusOf(block: Buffer): string {
  const known = ["200", "204", "206", "304", "400", "404", "500"][block[0]! - 0x88];
  return known ?? /\d{3}/.exec(block.toString("latin1", 0, 8))?.[0] ?? `field ${block.toString("hex", 0, 6)}`;
}
