/**
 * Runs inside a pod's or a node's network: connections to an echo outside, bytes compared. Prints one JSON line.
 *
 *   node egress-client.ts ADDRESS PORT connections COUNT      opens COUNT at once, echoes a line on each, closes
 *   node egress-client.ts ADDRESS PORT bytes COUNT            sends COUNT bytes by one, half-closes, compares the echo
 *   node egress-client.ts ADDRESS PORT refused                says how a connection ends, and after how many ms
 */
import { createHash } from "node:crypto";
import { type Socket, connect } from "node:net";

const [address = "", portText = "", mode = "", countText = "0"] = process.argv.slice(2);
const port = Number(portText);
const count = Number(countText);
const print = (result: object): void => void process.stdout.write(`${JSON.stringify(result)}\n`);

/** One connection; resolves with the connected socket. */
function dial(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true });
    socket.setTimeout(90_000, () => socket.destroy(new Error("no bytes for 90 s")));
    socket.once("error", reject);
    socket.once("connect", () => resolve(socket));
  });
}

/** Everything that comes back until the end. */
function readAll(socket: Socket, take: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on("data", take);
    socket.once("end", resolve);
    socket.once("error", reject);
  });
}

async function echoLine(socket: Socket, line: string): Promise<boolean> {
  let back = "";
  const all = readAll(socket, (chunk) => (back += chunk.toString()));
  socket.end(line);
  await all;
  return back === line;
}

async function manyConnections(): Promise<object> {
  const sockets: Socket[] = [];
  // All are open before the first is used; a few hundred are opened, and used, at a time.
  for (let opened = 0; opened < count; opened += 250)
    sockets.push(...(await Promise.all(Array.from({ length: Math.min(250, count - opened) }, dial))));
  let whole = 0;
  for (let at = 0; at < count; at += 250) {
    const batch = sockets.slice(at, at + 250);
    const echoed = await Promise.all(batch.map((socket, index) => echoLine(socket, `line ${at + index}\n`)));
    whole += echoed.filter(Boolean).length;
  }
  return { connections: sockets.length, whole };
}

async function manyBytes(): Promise<object> {
  const socket = await dial();
  const sent = createHash("sha256");
  const received = createHash("sha256");
  let bytes = 0;
  const all = readAll(socket, (chunk) => {
    received.update(chunk);
    bytes += chunk.length;
  });
  const block = Buffer.alloc(1024 * 1024);
  for (let at = 0; at < count; at += block.length) {
    block.writeUInt32LE(at / block.length, 0);
    const chunk = Buffer.from(block.subarray(0, Math.min(block.length, count - at)));
    sent.update(chunk);
    if (!socket.write(chunk)) await new Promise((resolve) => socket.once("drain", resolve));
  }
  socket.end();
  await all;
  return { bytes, same: sent.digest("hex") === received.digest("hex") };
}

async function refusal(): Promise<object> {
  const startMs = performance.now();
  const how = await dial().then(
    (socket) =>
      readAll(socket, () => undefined).then(
        () => "ended",
        (error: NodeJS.ErrnoException) => error.code ?? "?",
      ),
    (error: NodeJS.ErrnoException) => error.code ?? "?",
  );
  return { how, ms: Math.round(performance.now() - startMs) };
}

const modes: Readonly<Record<string, () => Promise<object>>> = {
  connections: manyConnections,
  bytes: manyBytes,
  refused: refusal,
};
const run = modes[mode];
if (run === undefined) throw new Error(`Cannot run ${mode}: wanted connections, bytes or refused`);
print(await run());
process.exit(0);
