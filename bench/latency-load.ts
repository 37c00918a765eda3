/**
 * Runs inside a pod: GETs over kept connections, and how long they took. Prints one JSON line.
 *
 *   node latency-load.ts URL closed SECONDS           as fast as 16 connections go: requests a second
 *   node latency-load.ts URL open SECONDS RATE        RATE a second, evenly: p50 and p99 in ms
 *
 * Open, a request's time counts from when it was due, not from when it was sent: a pause is seen by all that it held
 * up. The first second, in which this program itself warms up, does not count.
 */
import { Agent, request } from "node:http";

const connections = 16;
const warmUpSeconds = 1;
const [url = "", mode = "", secondsText = "", rateText = "0"] = process.argv.slice(2);
const seconds = Number(secondsText);
const agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: "fifo" });

function get(): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent }, (response) => {
      response.resume();
      response.once("end", () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode ?? 0}`)),
      );
      response.once("error", reject);
    });
    sent.once("error", reject);
    sent.end();
  });
}

async function closed(): Promise<object> {
  const untilMs = performance.now() + seconds * 1000;
  let count = 0;
  const loop = async (): Promise<void> => {
    for (; performance.now() < untilMs; count++) await get();
  };
  await Promise.all(Array.from({ length: connections }, loop));
  return { rate: Math.round(count / seconds) };
}

async function open(): Promise<object> {
  const rate = Number(rateText);
  const startMs = performance.now();
  const warm = rate * warmUpSeconds;
  const took: number[] = [];
  const waiting: Promise<void>[] = [];
  const total = warm + rate * seconds;
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - startMs) / 1000) * rate));
    for (; sent < due; sent++) {
      const dueMs = startMs + (sent / rate) * 1000;
      const counts = sent >= warm;
      waiting.push(get().then(() => void (counts && took.push(performance.now() - dueMs))));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(waiting);
  took.sort((a, b) => a - b);
  const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0;
  return { requests: took.length, p50: at(0.5), p99: at(0.99) };
}

process.stdout.write(`${JSON.stringify(await (mode === "closed" ? closed() : open()))}\n`);
process.exit(0);
