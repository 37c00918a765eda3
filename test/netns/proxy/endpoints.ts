/** Servers that say who they are and whom they see, and calls to them, from any place of the test network. */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
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
  const socket = await openUDP(place, port);
  socket.on("message", (_, from) => socket.send(`${place.address} ${from.address}`, from.port, from.address));
  return () => socket.close();
}

export async function openUDP(place: Place, port = 0): Promise<DatagramSocket> {
  const socket = createSocket("udp4");
  // With a descriptor, dgram reports before bind() returns.
  const up = once(socket, "listening");
  socket.bind({ fd: bindUDP({ ...at(place), port }) });
  await up;
  return socket;
}

/** What is there answers within, in ms. */
const answerMs = 3000;

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

export async function callUDP(
  from: Place,
  to: Address,
  given?: DatagramSocket,
): Promise<{ readonly by: string; readonly saw: string }> {
  const socket = given ?? (await openUDP(from));
  try {
    socket.send("?", to.port, to.address);
    const [data] = (await once(socket, "message", { signal: AbortSignal.timeout(3000) })) as [Buffer];
    const [by = "", saw = ""] = data.toString().split(" ");
    return { by, saw };
  } finally {
    if (given === undefined) socket.close();
  }
}

/** Binding to any address lets the kernel choose the source of what is sent. */
function at({ namespace }: Place): { readonly address: string; readonly namespace?: NonNullable<Place["namespace"]> } {
  return { address: "0.0.0.0", ...(namespace === undefined ? {} : { namespace }) };
}
