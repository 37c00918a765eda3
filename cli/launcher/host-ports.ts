/**
 * Ports of Services on the host's loopback: listens, and hands each connection to a node's agent, which connects it to the
 * Service.
 *
 *   control ─ hostPorts ─▶ apply() ─▶ listen on 127.0.0.1 ─ connection ─▶ hand() ─▶ agent
 *
 * Invariant: after apply() exactly the wanted ports that could be bound listen; one that stays is not touched.
 */
import { type Server, type Socket, createServer } from "node:net";
import type { HostPort, HostPortOutcome } from "#api/wire/host-port.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import type { PublishedPort } from "../ipc.ts";
import { formatTarget } from "./publish.ts";

/** Ports at a time: the range of node ports and some more. The rest is refused. */
const portsMax = 4096;
const hostAddress = "127.0.0.1";

interface Listening {
  readonly server: Server;
  wanted: HostPort;
}

export class HostPorts {
  readonly #hand: (socket: Socket, to: HostPort) => void;
  readonly #published: () => readonly PublishedPort[];
  readonly #listening = new Map<number, Listening>();
  #last: Promise<unknown> = Promise.resolve();

  /**
   * `hand` takes a paused connection, which is its own from then on. `published` are the ports that the cluster itself has
   * on the host, by `-p`; default none.
   */
  constructor(hand: (socket: Socket, to: HostPort) => void, published: () => readonly PublishedPort[] = () => []) {
    this.#hand = hand;
    this.#published = published;
  }

  /** Listens on exactly these; of two that want one port the first has it. Calls are done one after the other. */
  apply(wanted: readonly HostPort[]): Promise<readonly HostPortOutcome[]> {
    const done = this.#last.then(() => this.#apply(wanted));
    this.#last = done.catch(() => undefined);
    return done;
  }

  close(): void {
    for (const { server } of this.#listening.values()) server.close();
    this.#listening.clear();
  }

  async #apply(wanted: readonly HostPort[]): Promise<readonly HostPortOutcome[]> {
    const first = new Map<number, HostPort>();
    for (const port of wanted) if (!first.has(port.hostPort)) first.set(port.hostPort, port);
    for (const [hostPort, { server }] of this.#listening) {
      if (first.has(hostPort)) continue;
      server.close();
      this.#listening.delete(hostPort);
    }
    const outcomes: HostPortOutcome[] = [];
    for (const port of wanted) {
      const { hostPort, namespace, name } = port;
      const rival = first.get(hostPort);
      const isRival = rival !== undefined && rival !== port;
      const problem = isRival
        ? `Cannot publish ${hostAddress}:${hostPort}: Service ${rival.namespace}/${rival.name} has it`
        : await this.#listen(port);
      outcomes.push({ hostPort, namespace, name, problem });
    }
    return outcomes;
  }

  /** Why it could not, or undefined. */
  #listen(wanted: HostPort): Promise<string | undefined> {
    const { hostPort } = wanted;
    const before = this.#listening.get(hostPort);
    if (before !== undefined) {
      before.wanted = wanted;
      return Promise.resolve(undefined);
    }
    const say = (why: string): string => `Cannot publish ${hostAddress}:${hostPort}: ${why}`;
    if (this.#listening.size >= portsMax) return Promise.resolve(say(`${portsMax} ports are published already`));
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.on("error", () => socket.destroy());
      this.#hand(socket, this.#listening.get(hostPort)?.wanted ?? wanted);
    });
    return new Promise((resolve) => {
      server.once("error", (error) => resolve(say(this.#explain(error, hostPort))));
      server.listen({ host: hostAddress, port: hostPort }, () => {
        this.#listening.set(hostPort, { server, wanted });
        resolve(undefined);
      });
    });
  }

  #explain(error: Error, hostPort: number): string {
    const code = errnoOf(error);
    const own = this.#published().find((port) => port.hostPort === hostPort && isLoopback(port.hostAddress));
    if (code === "EADDRINUSE" && own !== undefined)
      return `this cluster publishes ${formatTarget(own)} there (take another port for the Service, or start with another -p)`;
    if (code === "EADDRINUSE") return "another program listens there";
    if (code === "EACCES") return "this user may not listen on it (ports below 1024 need a privilege)";
    return messageOf(error);
  }
}

/** Whether who listens on the address has the port of `hostAddress`, too. */
function isLoopback(address: string): boolean {
  return address === hostAddress || address === "0.0.0.0";
}
