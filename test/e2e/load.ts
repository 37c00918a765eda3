/**
 * Steady load, and what came of it: on the product page, which counts as failed on a transport error, on any status but
 * 200, and when a part is missing because a call behind it failed; or on reviews itself.
 */
import { Agent, get } from "node:http";

export interface LoadResult {
  readonly sent: number;
  readonly failures: readonly string[];
  /** Pages by the reviews pod that served them. */
  readonly byPod: ReadonlyMap<string, number>;
}

export interface Load {
  /** Pages so far, by the reviews pod that served them. */
  soFar(): ReadonlyMap<string, number>;
  /** Stops sending; resolves when every answer is in. */
  stop(): Promise<LoadResult>;
}

/** The reviews pod that a body names, and which part of it is missing. */
export type ReadBody = (body: string) => { readonly pod: string; readonly missing: string | undefined };

interface Page {
  readonly pod: string;
  readonly failure: string | undefined;
}

/** The product page in HTML. */
export const readPage: ReadBody = (body) => ({
  pod: /<code>([^<]+)<\/code>/.exec(body)?.[1] ?? "",
  missing: /<p class="error">([^<]*)/.exec(body)?.[1],
});

/** The answer of reviews in JSON. */
export const readReviews: ReadBody = (body) => ({
  pod: /"podname":"([^"]+)"/.exec(body)?.[1] ?? "",
  missing: /"error":"([^"]*)/.exec(body)?.[1],
});

/** One page. Never rejects. */
export function fetchPage(url: string, agent: Agent, read: ReadBody = readPage): Promise<Page> {
  return new Promise((resolve) => {
    const fail = (failure: string): void => resolve({ pod: "", failure });
    const request = get(url, { agent, timeout: 10_000 }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("error", (error) => fail(error.message));
      response.on("end", () => {
        if (response.statusCode !== 200) return fail(`status ${response.statusCode}: ${body.slice(0, 200)}`);
        const { pod, missing } = read(body);
        if (missing !== undefined || pod === "") return fail(`a part is missing: ${missing ?? "reviews"}`);
        resolve({ pod, failure: undefined });
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer within 10 s")));
    // Whether it was the first one of its connection says where to look.
    request.on("error", ({ message }) => fail(request.reusedSocket ? `${message}, not the first request` : message));
  });
}

/** Fetches `count` pages over `connections` kept-alive connections. */
export async function fetchPages(url: string, count: number, connections: number): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const result = new Collector();
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      result.take(await fetchPage(url, agent));
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
  return result;
}

/** Sends `rate` requests a second over kept-alive connections until stopped, at most for two minutes. */
export function startLoad(url: string, rate: number, read: ReadBody = readPage): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const result = new Collector();
  const pending = new Set<Promise<void>>();
  const send = (): void => {
    const one = fetchPage(url, agent, read).then((page) => result.take(page));
    pending.add(one);
    void one.finally(() => pending.delete(one));
  };
  const timer = setInterval(send, 1000 / rate);
  const limit = setTimeout(() => clearInterval(timer), 120_000);
  return {
    soFar: () => new Map(result.byPod),
    async stop() {
      clearInterval(timer);
      clearTimeout(limit);
      await Promise.all(pending);
      agent.destroy();
      return result;
    },
  };
}

class Collector implements LoadResult {
  sent = 0;
  readonly failures: string[] = [];
  readonly byPod = new Map<string, number>();

  take({ pod, failure }: Page): void {
    this.sent += 1;
    if (failure === undefined) this.byPod.set(pod, (this.byPod.get(pod) ?? 0) + 1);
    else this.failures.push(failure);
  }
}
