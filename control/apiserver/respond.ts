/**
 * Writes answers to sockets: objects, text, log bytes, and watches as chunked JSON lines.
 *
 *   Answer ─▶ respond() ─▶ ServerResponse
 *
 * Invariant: no more than one batch of events is handed to a socket that does not drain; the rest waits in the
 * watcher's queue, whose bound then ends the watch.
 */
import type { ServerResponse } from "node:http";
import type { WatchEvent } from "#api/client/client.ts";
import type { Status } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import type { Watcher } from "../watch/watcher.ts";
import type { Answer } from "./exchange.ts";

/** Most events written between two looks at the socket. */
const batchEvents = 100;

/** Most Warning headers of an answer, and the longest of them, in characters. */
const warningsMax = 20;
const warningLengthMax = 256;

/** Writes the whole answer; resolves when it is over, also when the client has gone. */
export async function respond(
  response: ServerResponse,
  answer: Answer,
  warnings: readonly string[],
  clock: Clock,
): Promise<void> {
  const retryAfter = retryAfterOf(answer);
  if (retryAfter !== undefined) response.setHeader("Retry-After", retryAfter);
  for (const warning of warnings.slice(0, warningsMax)) response.appendHeader("Warning", `299 - ${quote(warning)}`);
  switch (answer.type) {
    case "object":
      return writeWhole(response, answer.code, answer.contentType ?? "application/json", JSON.stringify(answer.body));
    case "text":
      return writeWhole(response, answer.code, answer.contentType, answer.text);
    case "binary":
      return writeWhole(response, 200, answer.contentType, answer.body);
    case "bytes":
      return writeBytes(response, answer.bytes);
    case "watch":
      return writeWatch(response, answer, clock);
  }
}

/** When to ask again, where the Status says it: clients wait that long by themselves, so it is not said lightly. */
function retryAfterOf(answer: Answer): number | undefined {
  if (answer.type !== "object" || answer.code < 400) return undefined;
  const { details } = answer.body as Partial<Status>;
  return details?.retryAfterSeconds;
}

function writeWhole(response: ServerResponse, code: number, contentType: string, body: string | Buffer): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  response.writeHead(code, { "Content-Type": contentType, "Content-Length": bytes.length });
  response.end(bytes);
}

async function writeBytes(response: ServerResponse, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  response.writeHead(200, { "Content-Type": "text/plain" });
  // The head goes out at once: a follower of a quiet log must see that it is connected.
  response.flushHeaders();
  for await (const chunk of bytes) {
    if (response.destroyed) return;
    if (!response.write(chunk)) await drained(response);
  }
  response.end();
}

type WatchAnswer = Extract<Answer, { readonly type: "watch" }>;

async function writeWatch(response: ServerResponse, answer: WatchAnswer, clock: Clock): Promise<void> {
  const { watcher, timeoutMs, present } = answer;
  const encode = (event: WatchEvent): string =>
    present === undefined ? encodeEvent(event) : formatEvent(event.type, JSON.stringify(present(event)));
  const timer = clock.after(timeoutMs, () => watcher.close());
  const onClose = (): void => watcher.close();
  response.on("close", onClose);
  try {
    response.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-cache, private" });
    response.flushHeaders();
    for (let events = await watcher.next(); events !== undefined; events = await watcher.next())
      for (let start = 0; start < events.length && !response.destroyed; start += batchEvents)
        if (
          !response.write(
            events
              .slice(start, start + batchEvents)
              .map(encode)
              .join(""),
          )
        )
          await drained(response, watcher);
    // A client that does not read would keep a proper end waiting; it finds its last revision in what it has.
    if (watcher.end === "slow") response.destroy();
    else response.end();
  } finally {
    timer.cancel();
    response.off("close", onClose);
    watcher.close();
  }
}

/** Texts of objects that were just sent, so that an event for many watchers is encoded once. Full: forgotten altogether. */
const encoded = new Map<object, string>();
const encodedMax = 256;

function encodeEvent({ type, object }: WatchEvent): string {
  let text = encoded.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    if (encoded.size >= encodedMax) encoded.clear();
    encoded.set(object, text);
  }
  return formatEvent(type, text);
}

function formatEvent(type: string, text: string): string {
  return `{"type":"${type}","object":${text}}\n`;
}

/** Until the socket takes more, has closed, or the watch has ended. */
function drained(response: ServerResponse, watcher?: Watcher): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
    watcher?.whenEnded(done);
    if (response.destroyed) done();
  });
}

/** A quoted string of RFC 9110 section 5.6.4, in printable ASCII. */
function quote(sentence: string): string {
  const plain = sentence.slice(0, warningLengthMax).replace(/[^ -~]/g, "?");
  return `"${plain.replace(/["\\]/g, "\\$&")}"`;
}
