/**
 * Hot restart: the listening sockets of a running sidecar go to the one that follows it, and no connection is refused.
 *
 *   old: serveHandOver(path) ◀─ hello ─ new: takeOver(path) ─▶ duplicates of the old one's sockets ─▶ serves
 *                            ◀─ live ──                        old: drains and ends
 *
 *   Serving ─▶ Handing (hello: what listens, by address and descriptor) ─▶ Drained (live: the other one serves)
 *
 * Both listen on the same sockets for a moment, so what waits in the kernel's queue is accepted by one or the other.
 * The old one goes on when the new one ends before it was live. Over a unix socket in a folder of the user's own:
 * whoever may open it may take the sockets. Invariants: one hand-over at a time; lines of at most `lineBytesMax`.
 * Source: Envoy's hot restart, by pidfd_getfd instead of SCM_RIGHTS (Linux 5.6).
 */
import { rmSync } from "node:fs";
import { type Server, type Socket, connect, createServer } from "node:net";
import { CodedError, messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

/** Longest message, in bytes. */
const lineBytesMax: number = 256 * 1024;

export type HotRestartErrorCode =
  | "BUSY" // another hand-over is under way
  | "BROKEN"; // the other side ended or said what nobody understands

export class HotRestartError extends CodedError<HotRestartErrorCode> {}

/** A listening socket of the process that hands over. */
export interface ListeningSocket {
  /** "address:port" as it was configured. */
  readonly key: string;
  readonly fd: number;
}

export interface HandOverOptions {
  /** Of the unix socket. */
  readonly path: string;
  readonly log: Logger;
  /** This process's id, as the other one sees it. */
  readonly pid: number;
  /** What listens now. */
  sockets(): readonly ListeningSocket[];
  /** From now on that process may take them; undefined: none. */
  allow(pid: number | undefined): void;
  /** The other one serves: drain and end. */
  onReplaced(): void;
}

type Message =
  /** `pid`: of who takes. */
  | { readonly kind: "hello"; readonly pid: number }
  | { readonly kind: "live" }
  | { readonly kind: "sockets"; readonly pid: number; readonly sockets: readonly ListeningSocket[] }
  | { readonly kind: "busy" };

/** Waits for the process that follows. Resolves when the unix socket is bound. */
export async function serveHandOver(options: HandOverOptions): Promise<Server> {
  let taker: Socket | undefined;
  const server = createServer((socket) => {
    if (taker !== undefined) {
      socket.end(format({ kind: "busy" }));
      return;
    }
    taker = socket;
    socket.on("close", () => {
      taker = undefined;
      options.allow(undefined);
    });
    readMessages(socket, (message) => {
      if (message.kind === "hello") {
        options.allow(message.pid);
        socket.write(format({ kind: "sockets", pid: options.pid, sockets: options.sockets() }));
      } else if (message.kind === "live") {
        options.log.info("Replaced: draining");
        // The path is the other one's from now on.
        server.close();
        socket.end();
        options.onReplaced();
      }
    });
  });
  // One that a process left behind which ended at once; takeOver() has asked before whether somebody is there.
  rmSync(options.path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.path, resolve);
  });
  return server;
}

export interface TakenOver {
  /** By key: a descriptor of this process that listens. */
  readonly sockets: ReadonlyMap<string, number>;
  /** Tells the old process that this one serves. */
  live(): Promise<void>;
  /** Leaves the old process as it is; its sockets here are closed with this process. */
  abandon(): void;
}

/** The process that takes a duplicate of a descriptor of another; #lib/linux.ts has it. */
export type Take = (pid: number, fd: number) => number;

/** Takes the sockets of the process at `path`; undefined when there is none. */
export async function takeOver(path: string, take: Take): Promise<TakenOver | undefined> {
  const socket = connect(path);
  const isThere = await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  });
  if (!isThere) return undefined;
  const answer = Promise.withResolvers<Message>();
  // Told once; what comes later finds it settled.
  const broken = (why: string): void =>
    answer.reject(new HotRestartError("BROKEN", `Cannot take over sockets of ${path}: ${why}`));
  socket.on("error", (error) => broken(messageOf(error)));
  socket.on("close", () => broken("the other process ended"));
  readMessages(socket, (message) => answer.resolve(message));
  socket.write(format({ kind: "hello", pid: process.pid }));
  const message = await answer.promise;
  if (message.kind !== "sockets") {
    socket.destroy();
    const isBusy = message.kind === "busy";
    const why = isBusy ? "another one takes them already" : "the answer is not a list of sockets";
    throw new HotRestartError(isBusy ? "BUSY" : "BROKEN", `Cannot take over sockets of ${path}: ${why}`);
  }
  const sockets = new Map(message.sockets.map(({ key, fd }) => [key, take(message.pid, fd)] as const));
  return {
    sockets,
    live: async () => {
      const over = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      socket.end(format({ kind: "live" }));
      socket.resume();
      await over;
    },
    abandon: () => void socket.destroy(),
  };
}

function format(message: Message): string {
  return `${JSON.stringify(message)}\n`;
}

/** One JSON message a line. What does not parse, or is too long, ends the connection. */
function readMessages(socket: Socket, onMessage: (message: Message) => void): void {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      const message = parse(text.slice(0, end));
      text = text.slice(end + 1);
      if (message === undefined) return void socket.destroy();
      onMessage(message);
    }
    if (text.length > lineBytesMax) socket.destroy();
  });
}

function parse(line: string): Message | undefined {
  try {
    const value = JSON.parse(line) as Partial<Extract<Message, { kind: "sockets" }>> | null;
    const kind: string | undefined = value?.kind;
    if (kind === "live" || kind === "busy") return { kind };
    // Less than 1 stands for several processes, or none.
    if (!Number.isInteger(value?.pid) || (value?.pid ?? 0) < 1) return undefined;
    return kind === "hello" || (kind === "sockets" && Array.isArray(value?.sockets)) ? (value as Message) : undefined;
  } catch {
    return undefined; // The caller ends the connection.
  }
}
