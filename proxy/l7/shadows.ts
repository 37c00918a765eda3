/**
 * Mirrored requests: copies to other clusters, sent and forgotten.
 *
 *   exchange.ts (head, body slices) ─▶ Shadows ─▶ one stream a copy; its answer is read and dropped
 *
 * Invariants: the request itself never waits for a copy and never fails by one; a copy whose cluster takes the body too
 * slowly is given up once `heldBytesMax` wait for it; one that its cluster has no room for is not sent, and counted
 * there. Source: Envoy's request_mirror_policies.
 */
import type { HTTPContext } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import type { OutgoingRequest } from "./http1/write.ts";
import { HeadEditor } from "./route/head-editor.ts";
import type { ForwardPlan } from "./route/plan.ts";
import type { Limits } from "./resilience/limits.ts";
import { type Loan, type PendingStream, type UpstreamHandler, type UpstreamStream, free } from "./stream.ts";
import { Deadline } from "./timer-wheel.ts";

/** Bytes of a body that wait for one copy's connection. */
const heldBytesMax = 64 * 1024;
/** Time for a copy whose route has none, in ms: nobody waits for it, so nobody would end it. */
const longestMs = 15_000;

export class Shadows {
  readonly #shadows: readonly Shadow[];

  /** `isWhole`: no body follows. */
  constructor(request: OutgoingRequest, { mirrors, timeoutMs }: ForwardPlan, context: HTTPContext, isWhole: boolean) {
    this.#shadows = mirrors.flatMap(({ cluster: name, appendsShadow }) => {
      const cluster = context.cluster(name);
      const endpoint = cluster?.pick({ tried: [], destination: undefined });
      if (cluster === undefined || endpoint === undefined) return [];
      const { head } = request;
      const copy = appendsShadow ? { ...request, head: withShadowHost(head) } : request;
      const target = { endpoint, limits: cluster.limits.default };
      const shadow = new Shadow(copy, target, context, timeoutMs || longestMs);
      shadow.start(isWhole, cluster.spec.connectTimeoutMs);
      return [shadow];
    });
  }

  body(slice: Buffer): void {
    for (const shadow of this.#shadows) shadow.body(slice);
  }

  end(trailers: Headers | undefined): void {
    for (const shadow of this.#shadows) shadow.end(trailers);
  }
}

function withShadowHost(head: RequestHead): RequestHead {
  const editor = new HeadEditor(head);
  editor.setHost(shadowHost(head.host));
  return editor.finish();
}

/** `name:port` → `name-shadow:port`. */
function shadowHost(host: string): string {
  const colon = host.lastIndexOf(":");
  const hasPort = colon > host.lastIndexOf("]");
  return hasPort ? `${host.slice(0, colon)}-shadow${host.slice(colon)}` : `${host}-shadow`;
}

/** Where a copy goes. */
interface Target {
  readonly endpoint: Endpoint;
  /** Of its cluster, for what has no priority: a copy has none (Envoy's AsyncClient). */
  readonly limits: Limits;
}

/** One copy: Connecting ─▶ Sending ─▶ Over. */
class Shadow implements UpstreamHandler {
  readonly #request: OutgoingRequest;
  readonly #endpoint: Endpoint;
  readonly #limits: Limits;
  readonly #context: HTTPContext;
  readonly #deadline: Deadline;
  #pending: PendingStream | undefined;
  #stream: UpstreamStream | undefined;
  /** Of the limits: while it waits for a connection, and while it has one. */
  #holds: "pending" | "requests" | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isWhole = false;
  #isOver = false;
  #trailers: Headers | undefined;

  constructor(request: OutgoingRequest, { endpoint, limits }: Target, context: HTTPContext, timeoutMs: number) {
    this.#request = request;
    this.#endpoint = endpoint;
    this.#limits = limits;
    this.#context = context;
    this.#deadline = new Deadline(() => this.#giveUp());
    context.deps.wheel.arm(this.#deadline, context.deps.nowMs() + timeoutMs);
  }

  start(isWhole: boolean, connectTimeoutMs: number): void {
    this.#isWhole = isWhole;
    const { head } = this.#request;
    const { pool } = this.#endpoint;
    this.#endpoint.activeRequests++;
    // Beyond the limits there is no copy.
    if (!this.#limits.hasRoom("requests") && pool.isReady(head)) {
      this.#limits.take("requests");
      return this.#over();
    }
    const idle = pool.take(this, head, this.#context.deps.nowMs());
    if (idle !== undefined) return this.onConnected(idle);
    if (this.#hold("pending")) this.#pending = pool.open(this, head, connectTimeoutMs);
    if (this.#pending === undefined) this.#over();
  }

  body(slice: Buffer): void {
    if (this.#isOver) return;
    if (this.#stream !== undefined) {
      // Not waited for: what the socket does not take is held there, so a slow copy is given up.
      if (!this.#stream.sendBody(slice)) this.#holdBytes(slice.length);
      return;
    }
    this.#held.push(slice);
    this.#holdBytes(slice.length);
  }

  end(trailers: Headers | undefined): void {
    this.#isWhole = true;
    this.#trailers = trailers;
    this.#stream?.end(trailers);
  }

  onConnected(stream: UpstreamStream): void {
    this.#pending = undefined;
    this.#stream = stream;
    this.#letGo();
    if (!this.#hold("requests")) return this.#giveUp();
    stream.sendHead(this.#request, this.#isWhole && this.#held.length === 0 && this.#trailers === undefined);
    for (const slice of this.#held) stream.sendBody(slice);
    this.#held = [];
    this.#heldBytes = 0;
    if (this.#isWhole) stream.end(this.#trailers);
  }

  onDrain(): void {
    this.#heldBytes = 0;
  }

  onBatchStart(): void {
    // Nothing is written by what is read.
  }

  onBatchEnd(): Loan {
    return free;
  }

  onInterim(): void {
    // Dropped, like all of the answer.
  }

  onHead(): void {
    // Dropped; the body is read, so that the connection can be used again.
  }

  onBody(): void {
    // Dropped.
  }

  onResponseEnd(): void {
    this.#stream = undefined;
    this.#over();
  }

  /** A copy opens no tunnel. */
  onTunnel(): void {
    this.#giveUp();
  }

  onBroken(): void {
    this.#pending = undefined;
    this.#stream = undefined;
    this.#over();
  }

  #hold(what: "pending" | "requests"): boolean {
    const hasRoom = this.#limits.take(what);
    if (hasRoom) this.#holds = what;
    return hasRoom;
  }

  #letGo(): void {
    if (this.#holds === undefined) return;
    this.#limits.release(this.#holds);
    this.#holds = undefined;
  }

  #holdBytes(bytes: number): void {
    this.#heldBytes += bytes;
    if (this.#heldBytes > heldBytesMax) this.#giveUp();
  }

  #giveUp(): void {
    if (this.#isOver) return;
    this.#pending?.cancel();
    this.#stream?.cancel();
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#letGo();
    this.#held = [];
    this.#endpoint.activeRequests--;
    this.#context.deps.wheel.cancel(this.#deadline);
  }
}
