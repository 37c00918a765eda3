/**
 * Runs in a node's network: says when a ClusterIP begins to answer or to refuse, and when a headless name gets or loses
 * its address. One JSON line a change. Ends with standard input.
 *
 *   node push-probe.ts CLUSTER_IP PORT NAME
 */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import dnsPacket from "dns-packet";

const [address = "", port = "", name = ""] = process.argv.slice(2);
const nameserver = "10.96.0.10";
/** Time between two looks, in ms. */
const stepMs = 1;

function say(what: string, up: boolean): void {
  process.stdout.write(`${JSON.stringify({ what, up, atMs: Date.now() })}\n`);
}

function watch(what: string, look: () => Promise<boolean>): void {
  let last: boolean | undefined;
  const again = (): void => {
    void look().then((up) => {
      if (up !== last) say(what, up);
      last = up;
      setTimeout(again, stepMs);
    });
  };
  again();
}

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: Number(port) });
    socket.once("connect", () => (resolve(true), socket.destroy()));
    socket.once("error", () => resolve(false));
  });
}

const socket = createSocket("udp4");
const query = dnsPacket.encode({ type: "query", id: 1, flags: 0, questions: [{ type: "A", name }] });
function resolves(): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once("message", (bytes) => resolve((dnsPacket.decode(bytes).answers ?? []).length > 0));
    socket.send(query, 53, nameserver);
  });
}

process.stdin.once("end", () => process.exit(0)).resume();
watch("proxy", answers);
watch("dns", resolves);
