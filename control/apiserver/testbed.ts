/**
 * A real API server on a loopback port over a store in memory, for tests.
 *
 *   *.test.ts ─▶ withServer(body) ─▶ createApiServer(), bootstrap(), listen(0) ─▶ body ─▶ everything closed
 */
import { Agent, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import type { WatchCacheConfig } from "../watch/watch-cache.ts";
import type { TokenSigner } from "../identity/tokens.ts";
import type { AdmissionOptions } from "./admission/options.ts";
import { type Authenticator, bearerTokens } from "./authn.ts";
import { bootstrap } from "./bootstrap.ts";
import type { ReadStats } from "./kubelet-client.ts";
import { type ApiServer, createApiServer } from "./server.ts";
import type { OpenLog } from "./verbs/log.ts";

export interface Reply {
  readonly code: number;
  readonly body: Loose;
  readonly text: string;
  readonly warnings: readonly string[];
}

/** JSON of any shape: tests look into it by name and compare what they find. */
export interface Loose {
  readonly [key: string]: Loose | undefined;
}

/** A leaf as text. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The field `name` of each item of a list, as text. */
export function each(items: Loose | undefined, name: string): string[] {
  return (items as unknown as Loose[]).map((item) => textOf(item[name]));
}

export interface Testbed extends ApiServer {
  readonly clock: ManualClock;
  readonly port: number;
  /** One request with a valid token; a body that is no text is sent as JSON. */
  readonly call: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Reply>;
  /** Opens a watch and gives its lines. */
  readonly watch: (path: string) => Promise<WatchStream>;
}

export interface WatchStream {
  /** The next `count` events, as `TYPE name`. */
  readonly take: (count: number) => Promise<string[]>;
  /** Resolves when the stream has ended; with the number of events that were not taken. */
  readonly ended: Promise<number>;
  readonly close: () => void;
}

export interface TestbedConfig {
  readonly openLog?: OpenLog;
  readonly readStats?: ReadStats;
  readonly cacheConfig?: WatchCacheConfig;
  readonly requestTimeoutMs?: number;
  /** Default: no tokens, nothing required. */
  readonly tokens?: TokenSigner;
  readonly admission?: AdmissionOptions;
  readonly authenticators?: readonly Authenticator[];
  /** Closed at the end. Default: a new one in memory. */
  readonly store?: Store;
}

/** What `promise` gives, while time passes in steps of `stepMs`. */
export async function whileTimePasses<T>(clock: ManualClock, promise: Promise<T>, stepMs: number): Promise<T> {
  const progress = { isOver: false };
  const finish = (): void => void (progress.isOver = true);
  promise.then(finish, finish);
  while (!progress.isOver) await clock.advance(stepMs);
  return promise;
}

export const testToken = "letmein";

/** Runs `body` against a started, bootstrapped server. */
export async function withServer(body: (bed: Testbed) => Promise<void>, config: TestbedConfig = {}): Promise<void> {
  const store = config.store ?? openSqliteStore({ path: ":memory:" });
  const clock = new ManualClock();
  const users = new Map([[testToken, { name: "tester", groups: ["system:masters"] }]]);
  const server = createApiServer({
    store,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    tls: undefined,
    authenticators: [bearerTokens(users), ...(config.authenticators ?? [])],
    tokens: config.tokens,
    admission: config.admission,
    requestTimeoutMs: config.requestTimeoutMs,
    kubelet: {
      ...(config.openLog === undefined ? {} : { openLog: config.openLog }),
      ...(config.readStats === undefined ? {} : { readStats: config.readStats }),
    },
    cacheConfig: config.cacheConfig,
  });
  const agent = new Agent({ keepAlive: false });
  try {
    await server.start();
    await bootstrap(server.client, { apiAddress: { address: "100.64.0.1", port: 6443 } });
    const { port } = (await server.listen({ host: "127.0.0.1", port: 0 })) as AddressInfo;
    await body({
      ...server,
      clock,
      port,
      call: (method, path, sent, headers = {}) => call({ port, agent, method, path, sent, headers }),
      watch: (path) => openWatch(port, agent, path),
    });
  } finally {
    agent.destroy();
    await server.close();
    await store.close();
  }
}

interface Call {
  readonly port: number;
  readonly agent: Agent;
  readonly method: string;
  readonly path: string;
  readonly sent: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

function call({ port, agent, method, path, sent, headers }: Call): Promise<Reply> {
  const payload = sent === undefined ? undefined : typeof sent === "string" ? sent : JSON.stringify(sent);
  const contentType = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  const framing =
    payload === undefined ? {} : { "content-type": contentType, "content-length": Buffer.byteLength(payload) };
  const all = { authorization: `Bearer ${testToken}`, ...framing, ...headers };
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, agent, method, path, headers: all }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("error", reject);
      response.on("end", () => {
        const isJSON = response.headers["content-type"] === "application/json";
        const warning = response.headers["warning"];
        const warnings =
          warning === undefined
            ? []
            : [warning]
                .flat()
                .join(", ")
                .split(/, (?=299 )/);
        resolve({ code: response.statusCode ?? 0, body: (isJSON ? JSON.parse(text) : {}) as Loose, text, warnings });
      });
    });
    request.on("error", reject);
    request.end(payload);
  });
}

function openWatch(port: number, agent: Agent, path: string): Promise<WatchStream> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${testToken}` };
    const request = httpRequest({ host: "127.0.0.1", port, agent, path, headers }, (response) => {
      const events: string[] = [];
      let [rest, wake] = ["", (): void => undefined];
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        events.push(...lines.map(show));
        wake();
      });
      const ended = new Promise<number>((over) => {
        response.once("close", () => {
          wake();
          over(events.length);
        });
      });
      response.on("error", () => wake());
      const take = async (count: number): Promise<string[]> => {
        while (events.length < count && !response.closed)
          await new Promise<void>((resume) => {
            wake = resume;
          });
        return events.splice(0, count);
      };
      resolve({ take, ended, close: () => request.destroy() });
    });
    request.on("error", reject);
    request.end();
  });
}

function show(line: string): string {
  const { type, object } = JSON.parse(line) as { type: string; object: Loose };
  if (type !== "BOOKMARK") return `${type} ${textOf(object["metadata"]?.["name"])}`;
  const isEnd = object["metadata"]?.["annotations"]?.["k8s.io/initial-events-end"] !== undefined;
  return `BOOKMARK ${textOf(object["metadata"]?.["resourceVersion"])}${isEnd ? " initial-events-end" : ""}`;
}
