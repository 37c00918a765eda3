/**
 * What the filters of one request see and may do: the FilterContext of filter.ts, made for that request and filter.
 *
 *   pass.ts ─▶ SharedRequest ◀─ RequestContext, one a filter ─▶ filters
 *
 * Heads are copied with the first change, so a filter that only looks costs none (route/head-editor.ts).
 */
import type { Logger } from "#lib/log.ts";
import type { FormatRecord } from "../accesslog/types.ts";
import type { ConnectionInfo, HTTPContext } from "../context.ts";
import type { EndpointOverride, FilterContext, FilterReply, HeaderEditor } from "../filter.ts";
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import { isAll, tokenBytes } from "../http1/bytes.ts";
import { disabledFilter } from "../config/disabled.ts";
import { headerValue } from "../http1/headers.ts";
import { HeadEditor, HeadersEditor } from "../route/head-editor.ts";
import { routeInfoOf } from "../route/plan.ts";
import { clientAddress } from "../route/client-address.ts";
import { type Descriptor, descriptorsOf } from "../route/rate-limits.ts";
import type { CompiledRoute } from "../route/types.ts";
import type { SocketAddress } from "../types.ts";
import { wantBytes, wantStatus } from "./verdicts.ts";

/** What a filter may ask of its request's way. */
export interface ContextActions {
  /** Of the filter at that place. */
  resume(at: number, data?: Buffer): void;
  /** For the filter at that place. */
  gather(at: number, bytesMax: number): void;
  override(override: EndpointOverride): void;
  /** Whose answer it is. */
  endpoint(): SocketAddress | undefined;
  /** What is known of the request. */
  facts(): FormatRecord;
  reply(reply: FilterReply): void;
  /** Calls back: what it throws fails the request. */
  call(callback: () => void): void;
  fail(error: unknown): void;
}

/** Of one request. */
export interface RequestHeads {
  readonly received: RequestHead;
  /** As the listener has it, which filters and routes see (route/policy.ts). */
  readonly head: RequestHead;
}

/** What the filters of one request have in common: its heads, as they are now. */
export class SharedRequest {
  readonly http: HTTPContext;
  readonly connection: ConnectionInfo;
  readonly received: RequestHead;
  readonly actions: ContextActions;
  readonly requestHeaders: HeaderEditor;
  readonly #request: HeadEditor;
  #method: string;
  #response:
    | { readonly head: ResponseHead; readonly editor: HeadersEditor; readonly headers: HeaderEditor }
    | undefined;
  #status: number | undefined;
  isOver: boolean = false;

  constructor(http: HTTPContext, connection: ConnectionInfo, heads: RequestHeads, actions: ContextActions) {
    this.http = http;
    this.connection = connection;
    this.received = heads.received;
    this.actions = actions;
    this.#method = heads.head.method;
    this.#request = new HeadEditor(heads.head);
    this.requestHeaders = editorOf(this.#request);
  }

  get request(): RequestHead {
    const head = this.#request.finish();
    return this.#method === head.method ? head : { ...head, method: this.#method };
  }

  get response(): ResponseHead | undefined {
    if (this.#response === undefined) return undefined;
    const { head, editor } = this.#response;
    const status = this.#status ?? head.status;
    if (!editor.isChanged && status === head.status) return head;
    return { ...head, status, headers: editor.headers };
  }

  get responseHeaders(): HeaderEditor {
    if (this.#response === undefined) throw new Error("Cannot change response headers: there is no response yet");
    return this.#response.headers;
  }

  setTarget({ method, path, host }: Parameters<FilterContext["setTarget"]>[0]): void {
    if (method !== undefined) this.#method = method;
    if (path !== undefined) this.#request.setTarget(path);
    if (host !== undefined) this.#request.setHost(host);
  }

  setStatus(status: number): void {
    this.#status = wantStatus(status);
  }

  /** It was answered here (RFC 9110 §10.1.1). */
  removeExpectation(): void {
    this.#request.remove("expect");
  }

  /** The response's head came. */
  begin(head: ResponseHead): void {
    const editor = new HeadersEditor(head.headers);
    this.#response = { head, editor, headers: editorOf(editor) };
  }
}

/** What one of the filters sees. */
export class RequestContext implements FilterContext {
  readonly #shared: SharedRequest;
  /** The filter's place in the chain. */
  readonly #at: number;

  constructor(shared: SharedRequest, at: number) {
    this.#shared = shared;
    this.#at = at;
  }

  get connection(): ConnectionInfo {
    return this.#shared.connection;
  }

  get received(): RequestHead {
    return this.#shared.received;
  }

  get requestHeaders(): HeaderEditor {
    return this.#shared.requestHeaders;
  }

  get responseHeaders(): HeaderEditor {
    return this.#shared.responseHeaders;
  }

  get request(): RequestHead {
    return this.#shared.request;
  }

  get response(): ResponseHead | undefined {
    return this.#shared.response;
  }

  get log(): Logger {
    return this.#shared.http.deps.log;
  }

  routeConfigOf(name: string): unknown {
    const config = this.#route()?.perFilter.get(name);
    return config === disabledFilter ? "disabled" : config;
  }

  isNamedByRoute(name: string): boolean {
    return this.#route()?.perFilter.has(name) ?? false;
  }

  descriptorsOf(stage: number): readonly Descriptor[] {
    const route = this.#route();
    if (route === undefined || route.rateLimits.length === 0) return [];
    const { target } = route;
    const { request, connection, received } = this;
    const { policy, deps } = this.#shared.http;
    return descriptorsOf(route.rateLimits, stage, {
      head: request,
      clientAddress: clientAddress(received.headers, policy, connection.remoteAddress),
      destinationCluster:
        target.kind === "cluster"
          ? target.name
          : target.kind === "clusterHeader"
            ? (headerValue(request.headers, target.key) ?? "")
            : "",
      sourceCluster: deps.serviceCluster ?? "",
    });
  }

  facts(): FormatRecord {
    const { actions } = this.#shared;
    return { ...actions.facts(), head: this.request, sentHead: undefined, response: this.response };
  }

  endpointOf(cluster: string): SocketAddress | undefined {
    const found = this.#shared.http.cluster(cluster);
    if (found?.spec.tls !== undefined)
      throw new Error(`cluster ${cluster} has TLS, which calls of filters do not speak`);
    return found?.pick({ tried: [], destination: undefined });
  }

  /** Found anew for the request as it is now. */
  #route(): CompiledRoute | undefined {
    const { http } = this.#shared;
    return http.routes()?.find(this.request, routeInfoOf({ connection: this.connection, random: http.random }));
  }

  overrideEndpoint(override: EndpointOverride): void {
    this.#shared.actions.override(override);
  }

  get endpoint(): SocketAddress | undefined {
    return this.#shared.actions.endpoint();
  }

  wallMs(): number {
    return this.#shared.http.deps.wallMs();
  }

  nowMs(): number {
    return this.#shared.http.deps.nowMs();
  }

  after(delayMs: number, callback: () => void): void {
    const shared = this.#shared;
    shared.http.deps.after(delayMs, () => {
      if (!shared.isOver) shared.actions.call(callback);
    });
  }

  setTarget(target: Parameters<FilterContext["setTarget"]>[0]): void {
    this.#shared.setTarget(target);
  }

  setStatus(status: number): void {
    this.#shared.setStatus(status);
  }

  resume(): void {
    if (!this.#shared.isOver) this.#shared.actions.resume(this.#at);
  }

  resumeWith(data: Buffer): void {
    if (!this.#shared.isOver) this.#shared.actions.resume(this.#at, wantBytes(data));
  }

  fail(error: unknown): void {
    if (!this.#shared.isOver) this.#shared.actions.fail(error);
  }

  gatherRequest(bytesMax: number): void {
    if (this.#shared.isOver) return;
    this.#shared.removeExpectation();
    this.#shared.actions.gather(this.#at, bytesMax);
  }

  reply(reply: FilterReply): void {
    if (this.#shared.isOver) return;
    wantStatus(reply.status);
    for (const [name, value] of reply.headers ?? []) {
      checkedName(name);
      checkedValue(value);
    }
    this.#shared.actions.reply(reply);
  }
}

/** Checked on the way in, so that a filter cannot write a head that reads as two. */
function editorOf(editor: HeadersEditor): HeaderEditor {
  return {
    get: (name) => editor.get(name.toLowerCase()),
    set: (name, value) => editor.set(checkedName(name), checkedValue(value)),
    append: (name, value) => editor.append(checkedName(name), checkedValue(value)),
    remove: (name) => editor.remove(name.toLowerCase()),
    *entries() {
      const { names, values } = editor.headers;
      for (let at = 0; at < names.length; at++) yield [names[at]!, values[at]!] as const;
    },
  };
}

function checkedName(name: string): string {
  if (!isAll(name, tokenBytes)) throw new TypeError(`Cannot set header: ${JSON.stringify(name)} is not a token`);
  return name;
}

function checkedValue(value: string): string {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if ((code < 0x20 && code !== 9) || code === 0x7f || code > 0xff)
      throw new TypeError("Cannot set header: the value has a character that is not allowed");
  }
  return value;
}
