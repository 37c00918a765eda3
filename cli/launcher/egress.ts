/**
 * Egress, the half outside: connects to where pods want to go, and hands the connected socket to the node's agent.
 *
 *   agent ─ egressConnect ─▶ decideEgress ─▶ connect from the host's network ─ egressConnected with the socket ─▶ agent
 *
 * Bytes never pass the launcher. Invariant: every request is answered once. At most `pendingMax` are under way: a burst
 * of connections is no attack on who takes them. The next wait; beyond `waitingMax` they are refused.
 */
import { type Socket, connect } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import type { EgressAnswer, EgressRequest } from "../ipc.ts";
import { type Destination, type EgressPolicy, decideEgress } from "./egress-policy.ts";

/** Connections that one node may be making at a time. */
const pendingMax = 256;
/** Connections of one node that may wait for their turn. */
const waitingMax = 20_000;
/** Longest time for the destination to answer, in ms. */
const connectMs = 10_000;

export interface EgressOptions {
  readonly policy: EgressPolicy;
  readonly clock: Clock;
  /** The host's own addresses at this moment. */
  readonly hostAddresses: () => readonly string[];
  /** Answers the agent; the socket is its own from then on. */
  readonly answer: (answer: EgressAnswer, socket?: Socket) => void;
}

export class Egress {
  readonly #options: EgressOptions;
  readonly #waiting: (() => void)[] = [];
  #pending = 0;
  #incarnation = 0;

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /** A new agent knows nothing of what the one before it asked for: its ids begin anew. */
  agentStarted(): void {
    this.#incarnation += 1;
    this.#waiting.length = 0;
  }

  /** Connects, now or when there is room, or refuses. */
  request({ id, address, port }: EgressRequest): void {
    const { policy, hostAddresses } = this.#options;
    const incarnation = this.#incarnation;
    const answer = (message: EgressAnswer, socket?: Socket): void => {
      if (incarnation === this.#incarnation) this.#options.answer(message, socket);
      else socket?.destroy();
    };
    const refuse = (reason: string): void => answer({ kind: "egressRefused", id, reason });
    const decision = decideEgress({ address, port }, policy, hostAddresses());
    if (decision.kind === "refuse") return refuse(decision.reason);
    const connected = (socket: Socket): void => answer({ kind: "egressConnected", id }, socket);
    const start = (): void => this.#connect(decision, connected, refuse);
    if (this.#pending < pendingMax) return start();
    if (this.#waiting.length >= waitingMax) return refuse(`${waitingMax} connections wait already`);
    this.#waiting.push(start);
  }

  #connect(
    { address, port }: Destination,
    connected: (socket: Socket) => void,
    refuse: (reason: string) => void,
  ): void {
    const { clock } = this.#options;
    this.#pending += 1;
    const socket = connect({ host: address, port, allowHalfOpen: true });
    // Nothing may be read here: the bytes are the agent's.
    socket.pause();
    const settle = (act: () => void): void => {
      timer.cancel();
      socket.removeAllListeners();
      // An error after this is the agent's to see; here it only must not end the process.
      socket.on("error", () => undefined);
      this.#pending -= 1;
      act();
      this.#waiting.shift()?.();
    };
    const fail = (reason: string): void =>
      settle(() => {
        socket.destroy();
        refuse(reason);
      });
    const timer = clock.after(connectMs, () => fail(`no answer within ${connectMs / 1000} s`));
    socket.once("error", (error) => fail(errnoOf(error) ?? messageOf(error)));
    socket.once("connect", () => settle(() => connected(socket)));
  }
}
