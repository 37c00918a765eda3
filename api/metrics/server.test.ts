/** Pages over HTTP: what is served, what is refused, and beside another API. */
import assert from "node:assert/strict";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { expositionType } from "./exposition.ts";
import { addPages, createPageServer, healthPage, metricsPage } from "./server.ts";

interface Served extends AsyncDisposable {
  ask(path: string, method?: string): Promise<{ status: number; type: string | null; text: string }>;
}

async function serve(server: Server): Promise<Served> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    async ask(path, method = "GET") {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { connection: "close" } });
      return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("createPageServer() serves its pages, refuses the rest, and survives a page that throws", async () => {
  let problem: string | undefined = "not yet";
  const broken = (): string => {
    throw new Error("no numbers");
  };
  const pages = {
    "/metrics": metricsPage(() => "a 1\n"),
    "/healthz": healthPage(() => problem),
    "/broken": metricsPage(broken),
  };
  await using server = await serve(createPageServer(pages));
  assert.deepEqual(await server.ask("/metrics?x=1"), { status: 200, type: expositionType, text: "a 1\n" });
  assert.deepEqual(await server.ask("/metrics", "HEAD"), { status: 200, type: expositionType, text: "" });
  assert.equal((await server.ask("/metrics", "POST")).status, 405);
  assert.match((await server.ask("/nowhere")).text, /unknown path, wanted one of\n {2}GET \/metrics\n/);
  assert.equal((await server.ask("/healthz")).status, 503);
  problem = undefined;
  assert.equal((await server.ask("/healthz")).text, "ok\n");
  assert.deepEqual(await server.ask("/broken"), {
    status: 500,
    type: "text/plain",
    text: "Cannot serve page: no numbers\n",
  });
});

test("addPages() leaves everything else to the server that was there", async () => {
  const before = createServer((request, response) => void response.end(`before ${request.url}`));
  addPages(before, { "/metrics": metricsPage(() => "a 1\n") });
  await using server = await serve(before);
  assert.equal((await server.ask("/metrics")).text, "a 1\n");
  assert.equal((await server.ask("/logs")).text, "before /logs");
  assert.equal((await server.ask("/metrics", "POST")).text, "before /metrics");
});
