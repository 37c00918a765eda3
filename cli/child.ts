/**
 * The inside of a process that the launcher runs: its first message, what comes later, what it has to say.
 */
import { type Server, Socket } from "node:net";
import { type ListenOptions, backlogDefault, listenTCP } from "#lib/linux.ts";
import type { FromLauncher, LaterMessage, ToLauncher } from "./ipc.ts";

/** Takes a later message, and the connected socket that came with it. */
export type OnMessage = (message: LaterMessage, socket: Socket | undefined) => void;

export interface Child<Config> {
  readonly config: Config;
  /** Kept sockets by name: descriptors that this process inherited and has not taken yet. */
  readonly sockets: Map<string, number>;
  /** Called for every later message, those that came while starting first. */
  onMessage(handler: OnMessage): void;
  send(message: ToLauncher): void;
}

/**
 * Makes `server` accept on the socket that is kept under `name`, or on a new one that is kept from now on, so that
 * connections wait in the kernel while this process is restarted.
 */
export function listenKept(child: Child<unknown>, server: Server, name: string, at: ListenOptions): Promise<void> {
  let fd = child.sockets.get(name);
  // Taken once: when the server closes, the number may mean another file.
  child.sockets.delete(name);
  if (fd === undefined) {
    fd = listenTCP(at);
    child.send({ kind: "keep", name, fd });
  }
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ fd }, backlogDefault, resolve);
  });
}

/** Resolves with the launcher's first message. The process ends when the launcher's channel does. */
export function startChild<Config>(): Promise<Child<Config>> {
  const waiting: Parameters<OnMessage>[] = [];
  let handle: OnMessage = (...received) => void waiting.push(received);
  const send = (message: ToLauncher): void => void process.send?.(message);
  process.once("disconnect", () => process.exit(0));
  return new Promise((resolve) => {
    process.on("message", (received, sent) => {
      const message = received as FromLauncher<Config>;
      if (message.kind !== "start") return handle(message, sent instanceof Socket ? sent : undefined);
      resolve({
        config: message.config,
        sockets: new Map(Object.entries(message.sockets)),
        onMessage(handler) {
          handle = handler;
          for (const before of waiting.splice(0)) handler(...before);
        },
        send,
      });
    });
  });
}
