/**
 * The control process's side of ports on the host: asks the launcher, and waits for its answer.
 *
 *   controllers/host-ports.ts ─▶ publish() ─ hostPorts ─▶ launcher ─ hostPortsDone ─▶ receive()
 */
import type { HostPort, HostPortOutcome } from "#api/wire/host-port.ts";
import type { HostPortsAnswer, HostPortsRequest } from "./ipc.ts";

export class HostPortRequests {
  readonly #send: (request: HostPortsRequest) => void;
  readonly #waiting = new Map<number, (outcomes: readonly HostPortOutcome[]) => void>();
  #lastId = 0;

  constructor(send: (request: HostPortsRequest) => void) {
    this.#send = send;
  }

  /** Binds exactly these. The launcher outlives this process, so there is always an answer. */
  publish(ports: readonly HostPort[]): Promise<readonly HostPortOutcome[]> {
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve } = Promise.withResolvers<readonly HostPortOutcome[]>();
    this.#waiting.set(id, resolve);
    this.#send({ kind: "hostPorts", id, ports });
    return promise;
  }

  receive({ id, outcomes }: HostPortsAnswer): void {
    this.#waiting.get(id)?.(outcomes);
    this.#waiting.delete(id);
  }
}
