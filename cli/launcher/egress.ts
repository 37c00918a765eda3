/**
 * Egress, the half outside: connects to where pods want to go, and hands the connected socket to the node's agent.
 *
 *   agent ─ egressConnect ─▶ decideEgress ─▶ connect from the host's network ─ egressConnected with the socket ─▶ agent
 *
 * Bytes never pass the launcher. Invariant: every request is answered once; at most `pendingMax` are under way, the
 * next are refused.
 */
import { type Socket, connect } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import type { EgressAnswer, EgressRequest } from "../ipc.ts";
import { type EgressPolicy, decideEgress } from "./egress-policy.ts";

/** Connections that one node may be making at a time. */
const pendingMax = 1024;
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
  #pending = 0;

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /** Connects, or refuses. */
  request({ id, address, port }: EgressRequest): void {
    const { policy, clock, answer } = this.#options;
    const refuse = (reason: string): void => answer({ kind: "egressRefused", id, reason });
    const decision = decideEgress({ address, port }, policy);
    if (decision.kind === "refuse") return refuse(decision.reason);
    if (this.#pending >= pendingMax) return refuse(`${pendingMax} connections are being made already`);
    this.#pending += 1;
    const socket = connect({ host: decision.address, port: decision.port, allowHalfOpen: true });
    // Nothing may be read here: the bytes are the agent's.
    socket.pause();
    const settle = (act: () => void): void => {
      timer.cancel();
      socket.removeAllListeners();
      // An error after this is the agent's to see; here it only must not end the process.
      socket.on("error", () => undefined);
      this.#pending -= 1;
      act();
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
