/**
 * An upstream of either protocol that holds what it is asked until it is told to answer. From then on it answers at
 * once.
 */
import { once } from "node:events";
import http, { type ServerResponse } from "node:http";
import http2, { type Http2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { BurstCase } from "./burst-cases.ts";

export class HoldingUpstream {
  readonly #servers: (http.Server | Http2Server)[];
  readonly #sockets = new Set<Socket>();
  readonly #held: { end(): void }[] = [];
  #isAnswering = false;

  private constructor({ protocol, streams, endpoints = 1 }: BurstCase) {
    const create = (): http.Server | Http2Server => {
      if (protocol === "http1") return http.createServer((_request, response: ServerResponse) => this.#hold(response));
      const settings = streams === undefined ? {} : { maxConcurrentStreams: streams };
      return http2.createServer({ settings }, (_request, response) => this.#hold(response));
    };
    this.#servers = Array.from({ length: endpoints }, create);
    for (const server of this.#servers)
      server.on("connection", (socket: Socket) => {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
      });
  }

  static async start(one: BurstCase): Promise<HoldingUpstream> {
    const upstream = new HoldingUpstream(one);
    for (const server of upstream.#servers) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return upstream;
  }

  get ports(): readonly number[] {
    return this.#servers.map((server) => (server.address() as AddressInfo).port);
  }

  /** Requests that are held now. */
  get holds(): number {
    return this.#held.length;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  answerAll(): void {
    this.#isAnswering = true;
    for (const response of this.#held.splice(0)) response.end();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) server.close();
  }

  #hold(response: { end(): void }): void {
    if (this.#isAnswering) response.end();
    else this.#held.push(response);
  }
}
