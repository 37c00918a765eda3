/**
 * Reads the first bytes of a connection until it is known what the choice of its filter chain asks for: TLS and its
 * server name, or what plaintext speaks.
 *
 *   listener.ts ─▶ Inspection ─▶ onInspected({ transport, serverName, protocols }, bytes read) or onSilent(bytes read)
 *
 * The bytes stay the connection's: they are handed on. Protocols whose server speaks first are told apart by silence:
 * after `timeoutMs` onSilent() is called, whatever came. Invariant: exactly one of the two is called, or none when the
 * connection closes before.
 */
import type { Socket } from "node:net";
import { detectProtocol } from "./detect.ts";
import { Deadline } from "./timer-wheel.ts";
import { readClientHello } from "./tls/client-hello.ts";
import type { EngineDeps } from "./types.ts";

/** What the first bytes said. */
export interface Inspected {
  readonly transport: "raw_buffer" | "tls";
  /** Lower case; empty where there is none. */
  readonly serverName: string;
  /** ALPN's offers, or "http/1.1" or "h2c"; empty when not known. */
  readonly protocols: readonly string[];
}

/** A connection about which nothing is known. */
export const uninspected: Inspected = { transport: "raw_buffer", serverName: "", protocols: [] };

export interface InspectionOptions {
  readonly deps: EngineDeps;
  readonly wantsTLS: boolean;
  readonly wantsHTTP: boolean;
  /** 0 is for ever. */
  readonly timeoutMs: number;
  onInspected(found: Inspected, bytes: Buffer | undefined): void;
  onSilent(bytes: Buffer | undefined): void;
}

export class Inspection {
  readonly #socket: Socket;
  readonly #options: InspectionOptions;
  readonly #deadline: Deadline;
  #bytes: Buffer | undefined;
  /** Known not to be TLS. */
  #isPlain: boolean;

  constructor(socket: Socket, options: InspectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#isPlain = !options.wantsTLS;
    const { deps, timeoutMs } = options;
    this.#deadline = new Deadline(() => {
      this.#stop();
      options.onSilent(this.#bytes);
    });
    if (timeoutMs > 0) deps.wheel.arm(this.#deadline, deps.nowMs() + timeoutMs);
    socket.on("data", this.#onData).on("end", this.#onEnd).on("error", this.#onError).on("close", this.#stop);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = this.#bytes === undefined ? chunk : Buffer.concat([this.#bytes, chunk]);
    const found = this.#look(this.#bytes);
    if (found === undefined) return;
    this.#stop();
    this.#options.onInspected(found, this.#bytes);
  };

  readonly #onEnd = (): void => {
    this.#stop();
    this.#options.onInspected(uninspected, this.#bytes);
  };

  readonly #onError = (): void => void this.#socket.destroy();

  readonly #stop = (): void => {
    this.#options.deps.wheel.cancel(this.#deadline);
    const socket = this.#socket;
    socket.off("data", this.#onData).off("end", this.#onEnd).off("error", this.#onError).off("close", this.#stop);
  };

  #look(bytes: Buffer): Inspected | undefined {
    if (!this.#isPlain) {
      const hello = readClientHello(bytes);
      if (hello.kind === "more") return undefined;
      if (hello.kind === "tls") return { transport: "tls", serverName: hello.serverName, protocols: hello.protocols };
      this.#isPlain = true;
    }
    if (!this.#options.wantsHTTP) return uninspected;
    const protocol = detectProtocol(bytes);
    if (protocol === undefined) return undefined;
    return protocol === "other" ? uninspected : { ...uninspected, protocols: [protocol] };
  }
}
