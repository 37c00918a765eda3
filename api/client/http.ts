/**
 * KubeClient over HTTPS, for the kubelet and the command line.
 *
 * Transport errors are retried by the callers that can (informers); a Status answer becomes a StatusError at once.
 */
import { Agent, type Dispatcher, request } from "undici";
import { type Clock, realClock } from "#lib/clock.ts";
import { CodedError } from "#lib/errors.ts";
import { type Random, systemRandom } from "#lib/random.ts";
import type { TokenRequest } from "../authentication/token-request.ts";
import { serviceAccounts } from "../core/service-account.ts";
import { type KindRef, apiVersionOf, collectionPath } from "../kind.ts";
import type { KubeList, KubeObject, ObjectKey } from "../meta.ts";
import { keyOf } from "../meta.ts";
import { type Status, StatusError, statusCodes } from "../status.ts";
import type { DeleteOptions, KubeClient, ListOptions, MergePatch, WatchEvent } from "./client.ts";
import { splitLines } from "./lines.ts";
import type { ClientAnswer } from "./metrics.ts";
import { beginWatch, probed } from "./watch-life.ts";

/** The server answered, but not as a Kubernetes API does. */
export class ProtocolError extends CodedError<"NotAStatus"> {}

/** meta.k8s.io/v1 Table, as far as it is shown. */
export interface Table {
  /** Of priority 0 are shown always, of others on wish. */
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly {
    readonly cells: readonly (string | number | boolean | null)[];
    readonly object: { readonly metadata: { readonly name: string; readonly namespace?: string } };
  }[];
}

export interface HttpClientOptions {
  /** `https://host:port` */
  readonly server: string;
  /** PEM texts. Without `ca`, the system's authorities are trusted. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The bearer token as it is now, asked for with each request: those of pods are replaced every hour. */
  readonly token?: () => string | undefined;
  /** Time for an answer's headers, in ms. Default 30 000. Watches are not limited. A connection has 10 s of it, at most. */
  readonly headersTimeoutMs?: number;
  /** Told of each request once its headers are there, or it failed. */
  readonly observe?: (answer: ClientAnswer) => void;
  /** How long watches live (watch-life.ts). Default: the system's. */
  readonly clock?: Clock;
  readonly random?: Random;
}

type Query = Readonly<Record<string, string | undefined>>;

/** Bytes of one watch event or answer that is no stream, at most. An object is at most 3 MB. */
const bodyBytesMax = 64 * 1024 * 1024;

export class HttpKubeClient implements KubeClient {
  readonly #server: string;
  readonly #agent: Agent;
  readonly #headersTimeoutMs: number;
  readonly #token: () => string | undefined;
  readonly #observe: ((answer: ClientAnswer) => void) | undefined;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor({ server, ca, cert, key, token, headersTimeoutMs, observe, clock, random }: HttpClientOptions) {
    this.#observe = observe;
    this.#clock = clock ?? realClock;
    this.#random = random ?? systemRandom;
    this.#server = server;
    this.#token = token ?? (() => undefined);
    this.#headersTimeoutMs = headersTimeoutMs ?? 30_000;
    const timeout = Math.min(this.#headersTimeoutMs, 10_000);
    const tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    const connect = { ...tls, ...probed, timeout };
    this.#agent = new Agent({ connect, allowH2: false, connections: null, pipelining: 1 });
  }

  get<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey): Promise<T> {
    return this.#json("GET", objectPath(kind, key));
  }

  list<T extends KubeObject>(kind: KindRef<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    return this.#json("GET", collectionPath(kind, options.namespace), listQuery(options));
  }

  /** Ends after 5 to 10 minutes, by the server or, when that is silent, by itself. */
  async *watch<T extends KubeObject>(
    kind: KindRef<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    const life = beginWatch(this.#clock, this.#random, signal);
    const timeoutSeconds = String(life.timeoutSeconds);
    const query = { ...listQuery(options), watch: "true", allowWatchBookmarks: "true", timeoutSeconds };
    try {
      const path = collectionPath(kind, options.namespace);
      const response = await this.#send("GET", path, { query, signal: life.signal });
      for await (const line of splitLines(response.body, bodyBytesMax)) {
        const event = JSON.parse(line) as WatchEvent<T>;
        if (event.type === "ERROR") throw toStatusError(event.object);
        yield event;
      }
    } catch (error) {
      if (!life.isSilent()) throw error;
    } finally {
      life.end();
    }
  }

  create<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T> {
    return this.#json("POST", collectionPath(kind, object.metadata.namespace), {}, typed(kind, object));
  }

  update<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T> {
    return this.#json("PUT", objectPath(kind, keyOf(object)), {}, typed(kind, object));
  }

  updateStatus<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T> {
    return this.#json("PUT", `${objectPath(kind, keyOf(object))}/status`, {}, typed(kind, object));
  }

  patch<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, patch: MergePatch): Promise<T> {
    return this.#json("PATCH", objectPath(kind, key), {}, patch);
  }

  patchStatus<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, patch: MergePatch): Promise<T> {
    return this.#json("PATCH", `${objectPath(kind, key)}/status`, {}, patch);
  }

  delete<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, options: DeleteOptions = {}): Promise<T> {
    return this.#json("DELETE", objectPath(kind, key), {}, { kind: "DeleteOptions", apiVersion: "v1", ...options });
  }

  /** A token for a ServiceAccount. */
  createToken(serviceAccount: ObjectKey, request: TokenRequest): Promise<TokenRequest> {
    return this.#json("POST", `${objectPath(serviceAccounts, serviceAccount)}/token`, {}, request);
  }

  /** A GET whose answer is a stream of bytes: pod logs. */
  async stream(path: string, query: Query, signal?: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const response = await this.#send("GET", path, { query, ...(signal === undefined ? {} : { signal }) });
    return response.body;
  }

  /** Objects as the server would have them shown to people: one by `name`, or those that are selected. */
  async table(
    kind: KindRef,
    { namespace, name, ...options }: ListOptions & { readonly name?: string },
  ): Promise<Table> {
    const path =
      name === undefined ? collectionPath(kind, namespace) : objectPath(kind, { ...orEmpty(namespace), name });
    const query = { ...listQuery(options), includeObject: "Metadata" };
    const response = await this.#send("GET", path, { query, accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
    return (await readJSON(response)) as Table;
  }

  /** A write with query parameters and the server's warnings, as the command line needs it. A patch is a strategic one. */
  async write(
    method: "POST" | "PUT" | "PATCH",
    path: string,
    query: Query,
    body: unknown,
  ): Promise<{ object: KubeObject; warnings: string[] }> {
    const contentType = method === "PATCH" ? "application/strategic-merge-patch+json" : "application/json";
    const response = await this.#send(method, path, { query, body, contentType });
    const warnings = [response.headers["warning"] ?? []].flat().map(warningText);
    return { object: (await readJSON(response)) as KubeObject, warnings };
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #json<T>(method: string, path: string, query: Query = {}, body?: unknown): Promise<T> {
    return (await readJSON(await this.#send(method, path, { query, body }))) as T;
  }

  async #send(
    method: string,
    path: string,
    options: { query: Query; body?: unknown; contentType?: string; signal?: AbortSignal; accept?: string },
  ): Promise<Dispatcher.ResponseData> {
    const url = new URL(path, this.#server);
    for (const [name, value] of Object.entries(options.query)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const usual = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const contentType = options.contentType ?? usual;
    const token = this.#token();
    const startMs = performance.now();
    const answered = (status: number | undefined): void =>
      this.#observe?.({ host: url.host, method, status, seconds: (performance.now() - startMs) / 1000 });
    const response = await request(url, {
      method,
      dispatcher: this.#agent,
      headers: {
        accept: options.accept ?? "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(options.body === undefined ? {} : { "content-type": contentType }),
      },
      body: options.body === undefined ? null : JSON.stringify(options.body),
      headersTimeout: this.#headersTimeoutMs,
      bodyTimeout: 0,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    }).catch((error: unknown) => {
      answered(undefined);
      throw error;
    });
    answered(response.statusCode);
    if (response.statusCode >= 400) throw await readFailure(response, `${method} ${url.pathname}`);
    return response;
  }
}

function orEmpty(namespace: string | undefined): { readonly namespace?: string } {
  return namespace === undefined ? {} : { namespace };
}

/** The path of one object. */
export function objectPath(kind: KindRef, key: ObjectKey): string {
  return `${collectionPath(kind, key.namespace)}/${encodeURIComponent(key.name)}`;
}

function typed<T extends KubeObject>(kind: KindRef<T>, object: T): T {
  return { ...object, apiVersion: apiVersionOf(kind), kind: kind.kind };
}

function listQuery({ labelSelector, fieldSelector, resourceVersion }: ListOptions): Query {
  return { labelSelector, fieldSelector, resourceVersion };
}

async function readText(response: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += (chunk as Buffer).length;
    if (bytes > bodyBytesMax)
      throw new ProtocolError("NotAStatus", `Cannot read answer: more than ${bodyBytesMax} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}

async function readJSON(response: Dispatcher.ResponseData): Promise<unknown> {
  return JSON.parse(await readText(response));
}

/** The error behind an answer >= 400: a StatusError when the body is a Status. */
async function readFailure(response: Dispatcher.ResponseData, action: string): Promise<Error> {
  const text = await readText(response);
  try {
    const body = JSON.parse(text) as Partial<Status>;
    if (body.kind === "Status") return toStatusError(body as Status);
  } catch {
    return new ProtocolError("NotAStatus", `Cannot ${action}: ${response.statusCode} ${text.slice(0, 200)}`);
  }
  return new ProtocolError("NotAStatus", `Cannot ${action}: ${response.statusCode}, wanted a Status`);
}

function toStatusError(status: Status): StatusError {
  const reason =
    status.reason !== undefined && Object.hasOwn(statusCodes, status.reason) ? status.reason : "InternalError";
  return new StatusError(reason, status.message ?? `code ${status.code}`, status.details);
}

/** The text of a `299 - "text"` warning header. */
function warningText(header: string): string {
  const quoted = /^299 \S+ "(.*)"$/.exec(header)?.[1];
  return quoted === undefined ? header : quoted.replaceAll('\\"', '"');
}
