/**
 * Egress, the half outside: connects to where pods want to go, and hands the connected socket to the node's agent.
 *
 *   agent ─ egressConnect ─▶ decideEgress ─▶ connect from the host's network ─ egressConnected with the socket ─▶ agent
 *
 * Bytes never pass the launcher. Invariant: every request that is not cancelled is answered once. At most `pendingMax`
 * are under way, `pendingSourceMax` of one pod: a burst of connections is no attack on who takes them. The next wait, pod
 * by pod in turns; a pod beyond its `waitingSourceMax` is refused.
 */
import { type Socket, connect } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import type { EgressAnswer, EgressCancel, EgressRequest } from "../ipc.ts";
import { type Destination, type EgressDecision, type EgressPolicy, decideEgress } from "./egress-policy.ts";
import { FairQueue } from "./fair-queue.ts";

/** Connections that one node may be making at a time. */
const pendingMax = 256;
/** Connections of one pod that may be under way at a time: a destination that does not answer holds each for long. */
const pendingSourceMax = 128;
/** Connections of one pod that may wait for their turn. */
const waitingSourceMax = 20_000;
/** Longest time for the destination to answer, in ms. */
const connectMs = 10_000;

export interface EgressOptions {
  readonly policy: EgressPolicy;
  /** `ADDR:PORT` that the node's resolver may reach, wherever they are. */
  readonly upstreams: readonly string[];
  readonly clock: Clock;
  /** The host's own addresses at this moment. */
  readonly hostAddresses: () => readonly string[];
  /** Answers the agent; the socket is its own from then on. */
  readonly answer: (answer: EgressAnswer, socket?: Socket) => void;
}

interface Job {
  readonly request: EgressRequest;
  readonly destination: Destination;
  /** Ends what is under way, without an answer. */
  cancel: () => void;
}

export class Egress {
  readonly #options: EgressOptions;
  readonly #jobs = new Map<number, Job>();
  readonly #waiting = new FairQueue(waitingSourceMax);
  /** Under way, by source. */
  readonly #pending = new Map<string, number>();
  #pendingCount = 0;

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /** A new agent knows nothing of what the one before it asked for: its ids begin anew. */
  agentStarted(): void {
    this.#waiting.clear();
    for (const job of this.#jobs.values()) job.cancel();
    this.#jobs.clear();
  }

  /** Connects, now or when it is its turn, or refuses. */
  request(request: EgressRequest): void {
    const { id, from } = request;
    const decision = this.#decide(request);
    if (decision.kind === "refuse") return this.#refuse(id, decision.reason);
    if (!this.#waiting.push(from, id))
      return this.#refuse(id, `${waitingSourceMax} connections of ${from} wait already`);
    this.#jobs.set(id, { request, destination: decision, cancel: () => undefined });
    this.#startNext();
  }

  cancel({ id }: EgressCancel): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    this.#jobs.delete(id);
    this.#waiting.remove(job.request.from, id);
    job.cancel();
  }

  #decide({ from, address, port }: EgressRequest): EgressDecision {
    const { policy, upstreams, hostAddresses } = this.#options;
    if (from !== "") return decideEgress({ address, port }, policy, hostAddresses());
    if (upstreams.includes(`${address}:${port}`)) return { kind: "connect", address, port };
    return { kind: "refuse", reason: "it is none of the resolver's upstreams" };
  }

  #startNext(): void {
    const mayGo = (source: string): boolean => (this.#pending.get(source) ?? 0) < pendingSourceMax;
    while (this.#pendingCount < pendingMax) {
      const id = this.#waiting.next(mayGo);
      const job = id === undefined ? undefined : this.#jobs.get(id);
      if (job === undefined) return;
      const { from } = job.request;
      this.#pending.set(from, (this.#pending.get(from) ?? 0) + 1);
      this.#pendingCount += 1;
      this.#connect(job);
    }
  }

  /** One is done: another may have its turn. */
  #release(from: string): void {
    this.#pendingCount -= 1;
    const pending = (this.#pending.get(from) ?? 1) - 1;
    if (pending === 0) this.#pending.delete(from);
    else this.#pending.set(from, pending);
    this.#startNext();
  }

  #connect(job: Job): void {
    const { id, from } = job.request;
    const { address, port } = job.destination;
    const socket = connect({ host: address, port, allowHalfOpen: true });
    // Nothing may be read here: the bytes are the agent's.
    socket.pause();
    const settle = (act: () => void): void => {
      timer.cancel();
      socket.removeAllListeners();
      // An error after this is the agent's to see; here it only must not end the process.
      socket.on("error", () => undefined);
      if (this.#jobs.get(id) === job) this.#jobs.delete(id);
      act();
      this.#release(from);
    };
    const fail = (reason: string): void =>
      settle(() => {
        socket.destroy();
        this.#refuse(id, reason);
      });
    const timer = this.#options.clock.after(connectMs, () => fail(`no answer within ${connectMs / 1000} s`));
    job.cancel = () => settle(() => socket.destroy());
    socket.once("error", (error) => fail(errnoOf(error) ?? messageOf(error)));
    socket.once("connect", () => settle(() => this.#options.answer({ kind: "egressConnected", id }, socket)));
  }

  #refuse(id: number, reason: string): void {
    this.#options.answer({ kind: "egressRefused", id, reason });
  }
}
