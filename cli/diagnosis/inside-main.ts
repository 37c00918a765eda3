/**
 * The process that inside.ts runs within a cluster: questions on standard input, answers on standard output, once.
 *
 * It only reads: GET requests, connections that are closed at once, names, tables of sockets, `nft list`.
 */
import { execFile } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { request } from "node:http";
import { type Socket, connect } from "node:net";
import { text } from "node:stream/consumers";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { connectTCP, openNamespace } from "#lib/linux.ts";
import type { Answer, Question } from "./inside.ts";
import { parseListening } from "./listening-sockets.ts";

/** Questions that are asked at a time. */
const atOnce = 16;
const bodyBytesMax = 16 * 1024 * 1024;

const { questions, timeoutMs } = JSON.parse(await text(process.stdin)) as {
  readonly questions: readonly Question[];
  readonly timeoutMs: number;
};
const answers: Answer[] = [];
let next = 0;
const worker = async (): Promise<void> => {
  for (let at = next++; at < questions.length; at = next++) answers[at] = await settle(questions[at]!);
};
await Promise.all(Array.from({ length: atOnce }, worker));
process.stdout.write(JSON.stringify(answers));

async function settle(question: Question): Promise<Answer> {
  try {
    return await ask(question);
  } catch (error) {
    return { kind: "failed", code: errnoOf(error) ?? "UNKNOWN", message: messageOf(error) };
  }
}

function ask(question: Question): Promise<Answer> {
  switch (question.kind) {
    case "http":
      return get(question);
    case "tcp":
      return reach(question.address, question.port);
    case "dns":
      return resolve(question.server, question.name);
    case "listening":
      return listening(question.netns);
    case "tables":
      return tables();
  }
}

function get({ address, port, path, netns }: Extract<Question, { kind: "http" }>): Promise<Answer> {
  return new Promise((done, reject) => {
    const dial = (): Socket => {
      if (netns === undefined) return connect({ host: address, port });
      const namespace = openNamespace(netns);
      try {
        return connectTCP({ namespace, address, port });
      } finally {
        namespace.close();
      }
    };
    // Without an agent: one given would dial by itself.
    const sent = request({ host: address, port, path, createConnection: dial }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString();
        if (body.length > bodyBytesMax) response.destroy(new Error(`its answer is longer than ${bodyBytesMax} bytes`));
      });
      response.on("error", reject);
      response.on("end", () => done({ kind: "http", status: response.statusCode ?? 0, body }));
    });
    sent.setTimeout(timeoutMs, () => sent.destroy(timedOut()));
    sent.on("error", reject);
    sent.end();
  });
}

function reach(address: string, port: number): Promise<Answer> {
  return new Promise((done, reject) => {
    const socket = connect({ host: address, port });
    socket.setTimeout(timeoutMs, () => socket.destroy(timedOut()));
    socket.on("error", reject);
    socket.on("connect", () => {
      socket.destroy();
      done({ kind: "tcp" });
    });
  });
}

async function resolve(server: string, name: string): Promise<Answer> {
  const resolver = new Resolver({ timeout: Math.max(200, timeoutMs / 2), tries: 1 });
  resolver.setServers([server]);
  return { kind: "dns", addresses: await resolver.resolve4(name) };
}

function listening(netns: string): Promise<Answer> {
  // /proc/net is that of the process which reads it.
  const args = [`--net=/run/netns/${netns}`, "cat", "/proc/net/tcp", "/proc/net/tcp6"];
  return new Promise((done, reject) => {
    execFile("nsenter", args, { timeout: timeoutMs, maxBuffer: bodyBytesMax }, (error, stdout) => {
      // Where there is no IPv6 the second table is missing, and cat fails after the first.
      if (error !== null && stdout === "") return reject(error);
      done({ kind: "listening", sockets: parseListening(stdout) });
    });
  });
}

function tables(): Promise<Answer> {
  return new Promise((done, reject) => {
    execFile("nft", ["list", "tables"], { timeout: timeoutMs }, (error, stdout) => {
      if (error !== null) return reject(error);
      done({ kind: "tables", names: stdout.split("\n").flatMap((line) => /^table (.+)$/.exec(line)?.[1] ?? []) });
    });
  });
}

function timedOut(): NodeJS.ErrnoException {
  return Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: "ETIMEDOUT" });
}
