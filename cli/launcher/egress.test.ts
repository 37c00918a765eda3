/** Connections to outside: answered once, to the agent that asked. */
import assert from "node:assert/strict";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { type EgressAnswer, addresses } from "../ipc.ts";
import { Egress } from "./egress.ts";

const pod = "10.244.1.2";

describe("Egress", () => {
  let echo: Server;
  let port = 0;
  before(async () => {
    echo = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => echo.listen({ host: "127.0.0.1", port: 0 }, resolve));
    port = (echo.address() as AddressInfo).port;
  });
  after(() => void echo.close());

  /** Egress whose answers are gathered; `next` resolves with the next of them. */
  function benchOf(): { egress: Egress; answers: EgressAnswer[]; next: () => Promise<EgressAnswer> } {
    const answers: EgressAnswer[] = [];
    let wake: (answer: EgressAnswer) => void = () => undefined;
    const egress = new Egress({
      policy: { outbound: "allow-any", hostPorts: [port] },
      upstreams: [`127.0.0.1:${port}`],
      clock: new ManualClock(),
      hostAddresses: () => [],
      answer: (answer, socket?: Socket) => {
        socket?.destroy();
        answers.push(answer);
        wake(answer);
      },
    });
    return { egress, answers, next: () => new Promise((resolve) => (wake = resolve)) };
  }

  it("hands over a connected socket, or says why not", async () => {
    const { egress, next } = benchOf();
    const first = next();
    egress.request({ kind: "egressConnect", id: 1, from: pod, address: addresses.host, port });
    assert.deepEqual(await first, { kind: "egressConnected", id: 1 });
    const second = next();
    egress.request({ kind: "egressConnect", id: 2, from: pod, address: "10.96.0.1", port });
    const refused = await second;
    assert.equal(refused.kind, "egressRefused");
  });

  it("answers no agent what the one before it asked for: ids begin anew with each", async () => {
    const { egress, answers, next } = benchOf();
    egress.request({ kind: "egressConnect", id: 1, from: pod, address: addresses.host, port });
    egress.agentStarted();
    const answer = next();
    egress.request({ kind: "egressConnect", id: 2, from: pod, address: addresses.host, port });
    assert.deepEqual(await answer, { kind: "egressConnected", id: 2 });
    assert.deepEqual(answers, [{ kind: "egressConnected", id: 2 }]);
  });

  it("lets the node's resolver reach its upstreams, be they on the host's loopback, and nothing else", async () => {
    const { egress, next } = benchOf();
    const first = next();
    egress.request({ kind: "egressConnect", id: 1, from: "", address: "127.0.0.1", port });
    assert.deepEqual(await first, { kind: "egressConnected", id: 1 });
    const second = next();
    egress.request({ kind: "egressConnect", id: 2, from: "", address: "127.0.0.1", port: port - 1 });
    assert.deepEqual(await second, {
      kind: "egressRefused",
      id: 2,
      reason: "it is none of the resolver's upstreams",
    });
    const third = next();
    egress.request({ kind: "egressConnect", id: 3, from: pod, address: "127.0.0.1", port });
    assert.deepEqual(await third, { kind: "egressRefused", id: 3, reason: "the address is the host's loopback" });
  });

  it("does not answer what was cancelled, and serves who waits behind it", async () => {
    const { egress, answers, next } = benchOf();
    // More than may be under way at a time.
    for (let id = 1; id <= 200; id++)
      egress.request({ kind: "egressConnect", id, from: pod, address: addresses.host, port });
    for (let id = 1; id <= 200; id++) egress.cancel({ kind: "egressCancel", id });
    const answer = next();
    egress.request({ kind: "egressConnect", id: 201, from: pod, address: addresses.host, port });
    assert.deepEqual(await answer, { kind: "egressConnected", id: 201 });
    assert.deepEqual(answers, [{ kind: "egressConnected", id: 201 }]);
  });

  it("serves another pod at once while one holds all that it may", async () => {
    const { egress, answers, next } = benchOf();
    for (let id = 1; id <= 300; id++)
      egress.request({ kind: "egressConnect", id, from: pod, address: addresses.host, port });
    egress.request({ kind: "egressConnect", id: 301, from: "10.244.1.3", address: addresses.host, port });
    while (answers.length < 301) await next();
    // Behind those under way at most, not behind all that wait.
    const place = answers.findIndex(({ id }) => id === 301);
    assert.ok(place < 200, `answered as number ${place + 1}`);
  });
});
