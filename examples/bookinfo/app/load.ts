/**
 * A little steady load, so that the mesh is never silent: GET of URL, RATE times a second, one after another.
 * Prints a line a minute, and one for each answer that is not whole.
 */
import { Agent, get } from "node:http";

const url = process.env["URL"] ?? "http://productpage:9080/productpage";
const rate = Number(process.env["RATE"] ?? 2);
const agent = new Agent({ keepAlive: true });
let sent = 0;
let failed = 0;

function fail(what: string): void {
  failed += 1;
  console.error(`Request ${sent} failed: ${what}`);
}

function once(): void {
  sent += 1;
  const request = get(url, { agent, timeout: 10_000 }, (response) => {
    let body = "";
    response.on("data", (chunk: Buffer) => (body += chunk.toString()));
    response.on("error", (error) => fail(error.message));
    response.on("end", () => {
      if (response.statusCode !== 200) fail(`status ${response.statusCode}`);
      else if (body.includes('class="error"')) fail("a part of the page is missing");
    });
  });
  request.on("timeout", () => request.destroy(new Error("no answer within 10 s")));
  request.on("error", (error) => fail(error.message));
}

setInterval(once, 1000 / rate);
setInterval(() => console.log(`${sent} requests, ${failed} failed`), 60_000);
process.on("SIGTERM", () => process.exit(0));
