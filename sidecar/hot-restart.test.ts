/** Hot restart between two sets of servers: no connection is refused while the sockets change hands. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { type Server, type Socket, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { descriptorOf, takeDescriptor } from "#lib/linux.ts";
import { silentLogger } from "#lib/log.ts";
import { listenOn } from "#proxy/l7/fixture.ts";
import { serveHandOver, takeOver } from "./hot-restart.ts";

const answering = (name: string): Server => createServer((socket) => void socket.end(name));

/** What the server says that accepts. */
async function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.on("error", (error) => resolve(error.message));
    socket.on("end", () => resolve(text));
  });
}

test("takeOver() gets the sockets of the one before, which is told once the new one is live", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wherry-hot-"));
  const path = join(folder, "hot");
  const old = answering("old");
  const next = answering("new");
  const port = await listenOn(old);
  const replaced = Promise.withResolvers<void>();
  const allowed: (number | undefined)[] = [];
  const control = await serveHandOver({
    path,
    allow: (pid) => void allowed.push(pid),
    log: silentLogger,
    pid: process.pid,
    sockets: () => [{ key: "127.0.0.1:80", fd: descriptorOf(old as unknown as Socket)! }],
    onReplaced: () => {
      old.close();
      replaced.resolve();
    },
  });
  try {
    assert.equal(await ask(port), "old");
    const taken = await takeOver(path, takeDescriptor);
    await assert.rejects(takeOver(path, takeDescriptor), /another one takes them already/);
    assert.deepEqual(allowed, [process.pid]);
    const fd = taken!.sockets.get("127.0.0.1:80")!;
    await new Promise<void>((resolve) => next.listen({ fd }, resolve));
    const during = await Promise.all(Array.from({ length: 20 }, async () => ask(port)));
    assert.ok(during.every((answer) => answer === "old" || answer === "new"));
    await taken!.live();
    await replaced.promise;
    const after = await Promise.all(Array.from({ length: 20 }, async () => ask(port)));
    assert.deepEqual(new Set(after), new Set(["new"]));
    assert.deepEqual(allowed, [process.pid, undefined]);
    assert.equal(await takeOver(path, takeDescriptor), undefined);
  } finally {
    old.close();
    next.close();
    control.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("serveHandOver() goes on serving when the one that follows ends before it is live", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wherry-hot-"));
  const path = join(folder, "hot");
  let replaced = 0;
  const allowed = new Set<number | undefined>();
  const options = {
    path,
    log: silentLogger,
    pid: process.pid,
    sockets: () => [],
    allow: (pid: number | undefined) => void allowed.add(pid),
    onReplaced: () => void replaced++,
  };
  const control = await serveHandOver(options);
  try {
    const hello = (pid: number): string => `${JSON.stringify({ kind: "hello", pid })}\n`;
    for (const bytes of ["garbage\n", '{"kind":"hello"}\n', hello(-1), hello(0), hello(7), "x".repeat(300_000)]) {
      await new Promise<void>((resolve) => {
        const socket = connect(path, () => socket.write(bytes));
        socket.on("data", () => socket.destroy());
        socket.on("error", () => socket.destroy());
        socket.on("close", () => resolve());
      });
    }
    assert.equal(replaced, 0);
    assert.deepEqual(allowed, new Set([undefined, 7]));
    // The connection before may not be over on the other side yet.
    for (let turn = 0; turn < 10; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    const taken = await takeOver(path, takeDescriptor);
    await taken!.live();
    assert.equal(replaced, 1);
  } finally {
    control.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
