/** Ports of the host: bound once, kept while wanted, refused with a reason. */
import assert from "node:assert/strict";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { after, test } from "node:test";
import type { HostPort } from "#api/wire/host-port.ts";
import { HostPorts } from "./host-ports.ts";

const taken: Server = createServer();
after(() => void taken.close());

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const wanted = (name: string, hostPort: number): HostPort => ({
  hostPort,
  name,
  namespace: "shop",
  kind: "nodePort",
  address: "10.96.0.7",
  port: 80,
});

/** Which Service a connection to the port is handed to, or the error. */
function dial(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "?"));
    socket.once("data", (name: Buffer) => (resolve(name.toString()), socket.destroy()));
  });
}

test("HostPorts listens on what is wanted, hands connections over, and lets go of the rest", async () => {
  const ports = new HostPorts((socket: Socket, to) => void socket.end(to.name));
  const [a, b] = [await freePort(), await freePort()];
  try {
    assert.deepEqual(await ports.apply([wanted("a", a)]), [
      { hostPort: a, namespace: "shop", name: "a", problem: undefined },
    ]);
    assert.deepEqual([await dial(a), await dial(b)], ["a", "ECONNREFUSED"]);
    await ports.apply([wanted("renamed", a), wanted("b", b)]);
    assert.deepEqual([await dial(a), await dial(b)], ["renamed", "b"]);
    await ports.apply([wanted("b", b)]);
    assert.deepEqual([await dial(a), await dial(b)], ["ECONNREFUSED", "b"]);
  } finally {
    ports.close();
  }
});

test("HostPorts says who has a port, and tries again the next time", async () => {
  await new Promise<void>((resolve) => taken.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port } = taken.address() as AddressInfo;
  const ports = new HostPorts((socket: Socket, to) => void socket.end(to.name));
  try {
    const [first] = await ports.apply([wanted("a", port)]);
    assert.equal(first?.problem, `Cannot publish 127.0.0.1:${port}: another program listens there`);
    await new Promise((resolve) => taken.close(resolve));
    const [now, rival] = await ports.apply([wanted("a", port), wanted("b", port)]);
    assert.equal(now?.problem, undefined);
    assert.equal(rival?.problem, `Cannot publish 127.0.0.1:${port}: Service shop/a has it`);
  } finally {
    ports.close();
  }
});

test("HostPorts says what the cluster itself publishes on a port", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port } = server.address() as AddressInfo;
  const problem = async (hostAddress: string): Promise<string | undefined> => {
    const own = { hostAddress, hostPort: port, kind: "gateway", namespace: "shop", name: "web", port: 80 } as const;
    const ports = new HostPorts(
      (socket: Socket, to) => void socket.end(to.name),
      () => [own],
    );
    try {
      return (await ports.apply([wanted("a", port)]))[0]?.problem;
    } finally {
      ports.close();
    }
  };
  try {
    const start = `Cannot publish 127.0.0.1:${port}: this cluster publishes gateway/shop/web:80 there (`;
    assert.ok((await problem("127.0.0.1"))?.startsWith(start));
    assert.ok((await problem("0.0.0.0"))?.startsWith(start));
    assert.match((await problem("192.0.2.1")) ?? "", /another program listens there$/);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});
