/**
 * A connection to an endpoint in the making: TCP, then TLS where the cluster has it.
 *
 *   pool.ts, tcp-proxy.ts ─▶ Dialing ─▶ onDialed(socket) or onDialFailed(), once, and never before the call returns
 *
 * Invariant: after cancel() nothing is told; a socket that is handed over has no listeners of ours left.
 */
import type { OnReadOpts, Socket } from "node:net";
import { type TLSSocket, connect as connectTLS } from "node:tls";
import { type DialFailure, failureOf } from "./dial-failure.ts";
import { Deadline } from "./timer-wheel.ts";
import type { UpstreamTLS } from "./tls/types.ts";
import { type EngineDeps, type SocketAddress, dialOptions } from "./types.ts";

export interface DialOwner {
  readonly deps: EngineDeps;
  /** Open; over TLS it is a TLSSocket whose peer was verified as configured. */
  onDialed(socket: Socket): void;
  onDialFailed(failure: DialFailure): void;
}

export interface DialTarget {
  readonly to: SocketAddress;
  /** For TCP and TLS together, in ms. */
  readonly timeoutMs: number;
  readonly tls: UpstreamTLS | undefined;
  /** Takes the bytes instead of "data"; not over TLS. A dialer may pass it over. */
  readonly onread?: OnReadOpts;
}

export class Dialing {
  readonly #owner: DialOwner;
  readonly #tls: UpstreamTLS | undefined;
  readonly #deadline: Deadline;
  #socket: Socket | undefined;
  #failure: DialFailure = { why: "the connection was closed" };
  #isSecuring = false;
  #isOver = false;

  constructor(owner: DialOwner, target: DialTarget) {
    this.#owner = owner;
    this.#tls = target.tls;
    const { deps } = owner;
    this.#deadline = new Deadline(() => this.#fail({ why: "the connect timeout passed", isTimeout: true }));
    try {
      const options = target.onread === undefined ? dialOptions : { ...dialOptions, onread: target.onread };
      this.#watch(deps.dial(target.to.address, target.to.port, options), "connect");
    } catch (error) {
      // Told later, as every other failure is, so that callers meet one order of events.
      queueMicrotask(() => this.#fail(failureOf(error, false)));
      return;
    }
    deps.wheel.arm(this.#deadline, deps.nowMs() + target.timeoutMs);
  }

  /** Gives up; nothing is told any more. */
  cancel(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#socket?.destroy();
  }

  #watch(socket: Socket, event: "connect" | "secureConnect"): void {
    this.#socket = socket;
    socket.once(event, this.#onOpen);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  #unwatch(socket: Socket): void {
    socket.off("connect", this.#onOpen).off("secureConnect", this.#onOpen);
    socket.off("error", this.#onError).off("close", this.#onClose);
  }

  readonly #onError = (error: Error): void => {
    this.#failure = failureOf(error, this.#isSecuring);
  };
  readonly #onClose = (): void => this.#fail(this.#failure);

  readonly #onOpen = (): void => {
    const socket = this.#socket!;
    if (this.#tls !== undefined && !isTLS(socket)) return this.#secure(socket, this.#tls);
    const refused = this.#tls?.refuse(socket as TLSSocket);
    if (refused !== undefined) return this.#fail(refused);
    this.#unwatch(socket);
    this.#finish();
    this.#owner.onDialed(socket);
  };

  #secure(socket: Socket, tls: UpstreamTLS): void {
    this.#unwatch(socket);
    this.#isSecuring = true;
    try {
      const secure = connectTLS({ ...tls.options(), socket });
      // The wrapped socket reports its errors through the one around it.
      socket.on("error", (error) => {
        this.#onError(error);
        secure.destroy();
      });
      this.#watch(secure, "secureConnect");
    } catch (error) {
      socket.destroy();
      this.#fail(failureOf(error, true));
    }
  }

  #fail(failure: DialFailure): void {
    if (this.#isOver) return;
    this.#finish();
    this.#socket?.destroy();
    this.#owner.onDialFailed(failure);
  }

  #finish(): void {
    this.#isOver = true;
    this.#owner.deps.wheel.cancel(this.#deadline);
    if (this.#socket === undefined) return;
    this.#unwatch(this.#socket);
    // A socket that is given up may still fail: that is nobody's news.
    if (this.#socket.destroyed) this.#socket.on("error", () => undefined);
  }
}

function isTLS(socket: Socket): boolean {
  return "encrypted" in socket;
}
