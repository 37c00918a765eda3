/** Servers that say who they are and whom they see, and calls to them, from any place of the test network. */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { realClock as clock, type Timer } from "#lib/clock.ts";
import { bindUDP, connectTCP, listenTCP } from "#lib/linux.ts";
import type { Place } from "./network.ts";

export interface Address {
  readonly address: string;
  readonly port: number;
}

/** Every TCP message is answered with "own address, the peer's address". */
export async function serveTCP(place: Place, port: number): Promise<() => void> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", () => socket.write(`${place.address} ${socket.remoteAddress}`));
  });
  const up = once(server, "listening");
  server.listen({ fd: listenTCP({ ...at(place), port }) });
  await up;
  return () => server.close();
}

/** The same over UDP. */
export async function serveUDP(place: Place, port: number): Promise<() => void> {
  // At its own address: what is sent from any address has that of the way it takes.
  const socket = await openUDP(place, port, place.address);
  socket.on("message", (_, from) => socket.send(`${place.address} ${from.address}`, from.port, from.address));
  return () => socket.close();
}

/** A bound UDP socket, at any address of the place's family by default. */
export async function openUDP(place: Place, port = 0, address: string = at(place).address): Promise<DatagramSocket> {
  const socket = createSocket(place.address.includes(":") ? "udp6" : "udp4");
  // With a descriptor, dgram reports before bind() returns.
  const up = once(socket, "listening");
  socket.bind({ fd: bindUDP({ ...at(place), address, port }) });
  await up;
  return socket;
}

/** What is there answers within, in ms. */
const answerMs = 3000;
/** When a datagram is sent once more, in ms. */
const againMs = 1000;

/** A new connection; resolves once it is open. Rejects after `withinMs`, as calls do. */
export async function dial(from: Place, to: Address, withinMs: number = answerMs): Promise<Socket> {
  const { namespace } = from;
  const socket = connectTCP({ ...to, ...(namespace === undefined ? {} : { namespace }) });
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(withinMs) });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

/** One exchange on an open connection: who answered, and whom it saw. */
export async function say(socket: Socket): Promise<{ readonly by: string; readonly saw: string }> {
  socket.write("?");
  const [data] = (await once(socket, "data", { signal: AbortSignal.timeout(3000) })) as [Buffer];
  const [by = "", saw = ""] = data.toString().split(" ");
  return { by, saw };
}

/** One exchange on a connection of its own. */
export async function callTCP(
  from: Place,
  to: Address,
  withinMs: number = answerMs,
): Promise<{ readonly by: string; readonly saw: string }> {
  const socket = await dial(from, to, withinMs);
  try {
    return await say(socket);
  } finally {
    socket.destroy();
  }
}

/** Another one for each call: with one of a flow that the kernel remembers, a call would be that flow going on. */
let sourcePort = 10_000;

/** One exchange from a socket of its own, which is told of refusals; or from a given one, which is not connected. */
export async function callUDP(
  from: Place,
  to: Address,
  given?: DatagramSocket,
): Promise<{ readonly by: string; readonly saw: string }> {
  const socket = given ?? (await openUDP(from, sourcePort++));
  let again: Timer | undefined;
  try {
    if (given === undefined) {
      socket.connect(to.port, to.address);
      await once(socket, "connect");
    }
    const answered = once(socket, "message", { signal: AbortSignal.timeout(answerMs) });
    // The callback has the error of sending itself.
    const send = (report: (error: Error | null) => void): void =>
      given === undefined ? socket.send("?", report) : socket.send("?", to.port, to.address, report);
    const failed = new Promise<never>((_, reject) => {
      const report = (error: Error | null): void => void (error === null || reject(error));
      send(report);
      // A datagram may be lost, such as while a neighbour is looked for.
      again = clock.after(againMs, () => send(report));
    });
    const [data] = (await Promise.race([answered, failed])) as [Buffer];
    const [by = "", saw = ""] = data.toString().split(" ");
    return { by, saw };
  } finally {
    again?.cancel();
    if (given === undefined) socket.close();
  }
}

/** Binding to any address lets the kernel choose the source of what is sent. */
function at({ address, namespace }: Place): Place {
  return { address: address.includes(":") ? "::" : "0.0.0.0", ...(namespace === undefined ? {} : { namespace }) };
}
