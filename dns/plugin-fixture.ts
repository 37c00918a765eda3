/**
 * Server blocks under test: a Corefile in, answers out, with an upstream of the test's own. Only tests import this.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import dnsPacket, { type Answer, type DecodedPacket } from "dns-packet";
import { type Clock, realClock, type Timer } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { buildInstance, type Instance } from "./build.ts";
import type { ClusterSource } from "./cluster-source.ts";
import { parseCorefile } from "./corefile/parse.ts";
import { renderFamilies, ServerCounters } from "./metrics.ts";
import type { Environment, Proto } from "./plugin.ts";
import { HTTPRegistry } from "./server/admin.ts";
import { Responder } from "./server/respond.ts";
import { plainTransport } from "./transport.ts";

export interface Block {
  readonly instance: Instance;
  readonly http: HTTPRegistry;
  readonly fatal: string[];
  readonly logged: string[];
  /** `name TYPE` → decoded response; undefined when none was sent. */
  ask(query: string, given?: AskOptions): Promise<DecodedPacket | undefined>;
  /** As `ask`, with bytes. */
  send(message: Buffer, given?: AskOptions): Promise<Buffer | undefined>;
  /** As `send`, with all messages of a zone transfer. */
  sendAll(message: Buffer, given?: AskOptions): Promise<readonly Buffer[]>;
  /** Responses that were given out without the chain. */
  repeated(): number;
  metrics(): string;
}

export interface AskOptions {
  readonly proto?: Proto;
  readonly client?: string;
  readonly edns?: number;
  /** Default: true. */
  readonly isRecursionDesired?: boolean;
}

export interface BlockOptions {
  readonly clock?: Clock;
  readonly files?: Readonly<Record<string, string>>;
  readonly cluster?: ClusterSource;
  readonly variables?: Readonly<Record<string, string>>;
  /** Whether the chain sees each query, and nothing is given out again without it. Default false, as the sockets do. */
  readonly isPlain?: boolean;
}

/** Builds and starts a Corefile; it stops with the test. */
export async function serveCorefile(t: TestContext, text: string, given: BlockOptions = {}): Promise<Block> {
  const { clock = realClock, files = {}, cluster, variables = {} } = given;
  const http = new HTTPRegistry();
  const fatal: string[] = [];
  const logged: string[] = [];
  const note = (message: string): void => void logged.push(message);
  const log: Environment["log"] = { debug: note, info: note, warn: note, error: note, with: () => log };
  const readFile = (path: string): string => {
    const content = files[path];
    if (content === undefined) throw new Error(`no file ${path}`);
    return content;
  };
  const environmentVariable = (name: string): string | undefined => variables[name];
  const blocks = parseCorefile(text, {
    file: "Corefile",
    port: 53,
    environmentVariable,
    readImport: (pattern) => [{ file: pattern, text: readFile(pattern) }],
  });
  const instance = buildInstance(blocks, {
    clock,
    log,
    random: seededRandom(7),
    transport: plainTransport,
    http,
    ...(cluster === undefined ? {} : { cluster }),
    readFile,
    readFolder: (path) => namesIn(path, Object.keys(files)),
    interfaceAddresses: (name) => (name === "eth9" ? ["192.0.2.2", "192.0.2.3"] : []),
    environmentVariable,
    fatal: (message) => void fatal.push(message),
    reload: () => undefined,
    lifecycle: { isStopping: false, lameduckMs: 0 },
  });
  await instance.start();
  t.after(() => instance.stop());
  const [plan] = instance.listeners;
  if (plan === undefined) throw new Error("no listener");
  const counters = new ServerCounters();
  const responder = new Responder({ clock, log: silentLogger, counters, server: plan.key, router: plan.router });
  const { sendAll, repeated } = senderTo(responder, given.isPlain === true);
  const send: Block["send"] = async (message, options) => (await sendAll(message, options))[0];
  return {
    instance,
    http,
    fatal,
    logged,
    send,
    sendAll,
    repeated,
    async ask(query, options = {}) {
      const question = encodeQuestion(query, options.edns);
      if (options.isRecursionDesired === false) question.writeUInt16BE(0, 2);
      const response = await send(question, options);
      return response === undefined ? undefined : dnsPacket.decode(response);
    },
    metrics() {
      responder.prebuilt.settle();
      return renderFamilies(instance.collect());
    },
  };
}

/** Hands messages to the responder as sockets do, or without what was kept. */
function senderTo(responder: Responder, isPlain: boolean): Pick<Block, "sendAll" | "repeated"> {
  let repeated = 0;
  return {
    repeated: () => repeated,
    async sendAll(message, { proto = "udp", client = "10.9.9.9" } = {}) {
      const slot = Buffer.alloc(4096);
      const length = message.copy(slot);
      const isRepeatable = proto === "udp" && !isPlain;
      const done = isRepeatable ? responder.prebuilt.answer(slot, 0, length, client.includes(":")) : 0;
      if (done > 0) repeated++;
      if (done > 0) return [slot.subarray(0, done)];
      const response = await responder.respond(message, proto, client, 4000);
      return response === undefined ? [] : Buffer.isBuffer(response) ? [response] : response;
    },
  };
}

/** Files of a folder; all of them where none says that it is in it. */
function namesIn(path: string, names: readonly string[]): readonly string[] {
  const inside = names.filter((name) => name.startsWith(`${path}/`));
  return inside.length === 0 ? names : inside.map((name) => name.slice(path.length + 1));
}

/** `name TYPE` as a query. */
export function encodeQuestion(query: string, edns?: number): Buffer {
  const [name = "", type = "A"] = query.split(" ");
  const opt: Answer = { type: "OPT", name: ".", udpPayloadSize: edns ?? 0, options: [] };
  const additionals = edns === undefined ? [] : [opt];
  return dnsPacket.encode({ type: "query", id: 1, flags: 0x100, questions: [{ name, type }], additionals });
}

/** Answers as `name TYPE ttl data`, in order. */
export function answersOf(packet: DecodedPacket | undefined): readonly string[] {
  return (packet?.answers ?? []).map((record) => {
    if (record.type === "OPT") return "OPT";
    const data = record.type === "SRV" ? record.data.target : record.type === "SOA" ? record.data.mname : record.data;
    return `${record.name} ${record.type} ${record.ttl} ${String(data)}`;
  });
}

export interface FakeUpstream {
  readonly port: number;
  /** Names as they were asked, case kept, and over what. */
  readonly asked: {
    readonly name: string;
    readonly type: string;
    readonly proto: "udp" | "tcp";
    readonly port: number;
  }[];
  /** How long answers over UDP take, in ms. At first 0. */
  delayMs: number;
  /** Replaces what it does from now on. */
  behave(next: Behaviour): void;
}

/** What an upstream sends to a query: messages, none for silence. */
export type Behaviour = (query: DecodedPacket, proto: "udp" | "tcp") => readonly Buffer[];

/** The usual answer: 192.0.2.1 with TTL 60 for names under `outside.test`, NXDOMAIN for others. */
export const usual: Behaviour = (query) => {
  const [question] = query.questions ?? [];
  if (question === undefined) return [];
  const isKnown = question.name.toLowerCase().endsWith("outside.test");
  return [
    reply(query, isKnown ? [{ type: "A", name: question.name, ttl: 60, data: "192.0.2.1" }] : [], isKnown ? 0 : 3),
  ];
};

/** A response to `query`; negative ones carry an SOA of 20 s. */
export function reply(query: DecodedPacket, answers: readonly Answer[], rcode = 0, flags = 0x180): Buffer {
  const numbers = { serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 20 };
  const soa: Answer = {
    type: "SOA",
    name: "test",
    ttl: 20,
    data: { mname: "ns.test", rname: "host.test", ...numbers },
  };
  const authorities = answers.length === 0 ? [soa] : [];
  const questions = query.questions ?? [];
  return dnsPacket.encode({ type: "response", id: query.id, flags: flags | rcode, questions, answers, authorities });
}

/** A resolver on loopback, over UDP and TCP of one port. */
export async function startUpstream(t: TestContext, first: Behaviour = usual): Promise<FakeUpstream> {
  let behaviour = first;
  const asked: FakeUpstream["asked"] = [];
  const note = (query: DecodedPacket, proto: "udp" | "tcp", port: number): void => {
    const [question] = query.questions ?? [];
    asked.push({ name: question?.name ?? "", type: question?.type ?? "", proto, port });
  };
  const tcp = createServer((socket) => serveTCP(socket, (query) => (note(query, "tcp", 0), behaviour(query, "tcp"))));
  const udp = await bindBoth(tcp);
  const late = new Set<Timer>();
  const { port: own } = udp.address();
  const upstream: FakeUpstream = { port: own, asked, delayMs: 0, behave: (next) => void (behaviour = next) };
  udp.on("message", (bytes, from) => {
    const query = dnsPacket.decode(bytes);
    note(query, "udp", from.port);
    const send = (): void => {
      for (const message of behaviour(query, "udp")) udp.send(message, from.port, from.address);
    };
    if (upstream.delayMs === 0) send();
    else late.add(realClock.after(upstream.delayMs, send));
  });
  t.after(() => {
    for (const timer of late) timer.cancel();
    udp.close();
    tcp.close();
  });
  return upstream;
}

/** A UDP socket on a port that `tcp` could have, too: one that TCP has no use for is drawn. */
async function bindBoth(tcp: Server): Promise<ReturnType<typeof createSocket>> {
  for (let draw = 0; ; draw++) {
    const udp = createSocket("udp4");
    udp.bind(0, "127.0.0.1");
    await once(udp, "listening");
    try {
      const listening = once(tcp, "listening");
      tcp.listen({ port: udp.address().port, host: "127.0.0.1" });
      await listening;
      return udp;
    } catch (error) {
      udp.close();
      if (draw === 20) throw error;
    }
  }
}

function serveTCP(socket: Socket, answer: (query: DecodedPacket) => readonly Buffer[]): void {
  let pending = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= pending.readUInt16BE(0) + 2) {
      const end = pending.readUInt16BE(0) + 2;
      for (const message of answer(dnsPacket.decode(pending.subarray(2, end)))) {
        socket.write(Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]));
      }
      pending = Buffer.from(pending.subarray(end));
    }
  });
}
