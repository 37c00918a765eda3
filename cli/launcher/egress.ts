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
  /** Answers the agent; the socket is its own from then on. */
  readonly answer: (answer: EgressAnswer, socket?: Socket) => void;
}

export class Egress {
  readonly #options: EgressOptions;
  readonly #waiting: (() => void)[] = [];
  #pending = 0;

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /** Connects, now or when there is room, or refuses. */
  request({ id, address, port }: EgressRequest): void {
    const { policy, answer } = this.#options;
    const refuse = (reason: string): void => answer({ kind: "egressRefused", id, reason });
    const decision = decideEgress({ address, port }, policy);
    if (decision.kind === "refuse") return refuse(decision.reason);
    const start = (): void => this.#connect(id, decision, refuse);
    if (this.#pending < pendingMax) return start();
    if (this.#waiting.length >= waitingMax) return refuse(`${waitingMax} connections wait already`);
    this.#waiting.push(start);
  }

  #connect(id: number, { address, port }: Destination, refuse: (reason: string) => void): void {
    const { clock, answer } = this.#options;
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
    socket.once("connect", () => settle(() => answer({ kind: "egressConnected", id }, socket)));
  }
}
