/** Connections to outside: answered once, to the agent that asked. */
import assert from "node:assert/strict";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { type EgressAnswer, addresses } from "../ipc.ts";
import { Egress } from "./egress.ts";

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
    egress.request({ kind: "egressConnect", id: 1, address: addresses.host, port });
    assert.deepEqual(await first, { kind: "egressConnected", id: 1 });
    const second = next();
    egress.request({ kind: "egressConnect", id: 2, address: "10.96.0.1", port });
    const refused = await second;
    assert.equal(refused.kind, "egressRefused");
  });

  it("answers no agent what the one before it asked for: ids begin anew with each", async () => {
    const { egress, answers, next } = benchOf();
    egress.request({ kind: "egressConnect", id: 1, address: addresses.host, port });
    egress.agentStarted();
    const answer = next();
    egress.request({ kind: "egressConnect", id: 2, address: addresses.host, port });
    assert.deepEqual(await answer, { kind: "egressConnected", id: 2 });
    assert.deepEqual(answers, [{ kind: "egressConnected", id: 2 }]);
  });
});
