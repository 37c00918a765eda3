/**
 * The ADS server: one delta stream a client, fed from the snapshot.
 *
 *   snapshot.onDirty ─▶ debounce ─▶ flush ─▶ changes to each session ─▶ gRPC ─▶ sidecars, node proxies, DNS, Envoy
 *
 * Nothing is pushed before every kind has synced. Invariant: each stream has one session and releases its view when
 * it ends.
 * Bounds: `streamsMax` streams (more are refused: RESOURCE_EXHAUSTED), one outstanding response a type and stream.
 */
import {
  Metadata,
  Server,
  ServerCredentials,
  status as grpcStatus,
  type ServerDuplexStream,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { adsMethods, decodeRequest, encodeResponse, type DeltaRequest } from "#api/xds/discovery.ts";
import { parseNode, type NodeId } from "#api/xds/node-id.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { Debounce, defaultDebounce, type DebounceConfig } from "./debounce.ts";
import { PushMetrics } from "./metrics.ts";
import { Progress, type TypeProgress } from "./progress.ts";
import { Session, type SessionChanges, type SessionView, type TypeStatus } from "./session.ts";

/** The part of the snapshot that pushing needs (control/snapshot/index.ts). */
export interface PushIndex {
  readonly isSynced: boolean;
  readonly revision: number;
  onDirty(listener: () => void): () => void;
  flush(): SessionChanges;
  connect(id: NodeId): { readonly view: SessionView; release(): void };
}

export interface PushServerOptions {
  readonly index: PushIndex;
  readonly clock: Clock;
  readonly log: Logger;
  readonly debounce?: DebounceConfig;
  /** Default: plaintext, for loopback and the node network. */
  readonly credentials?: ServerCredentials;
  /** Streams at once, default 10 000. */
  readonly streamsMax?: number;
}

/** One connected client, for `wherry status`. */
export interface ClientStatus {
  readonly nodeId: string;
  readonly connectedMs: number;
  readonly types: readonly (TypeStatus & TypeProgress)[];
}

export interface PushServer {
  readonly metrics: PushMetrics;
  /** Binds "host:port" (port 0: any) and serves. The port. Throws when the address cannot be bound. */
  listen(address: string): Promise<number>;
  status(): readonly ClientStatus[];
  /** Ends all streams. */
  close(): Promise<void>;
}

type Call = ServerDuplexStream<Buffer, Buffer>;

interface Client {
  readonly call: Call;
  readonly nodeId: string;
  readonly session: Session;
  readonly progress: Progress;
  readonly connectedAtMs: number;
  /** Held until the stream ends. */
  readonly connection: { release(): void };
}

/** Longest request, in bytes: a client names what it holds when it reconnects. */
const requestBytesMax = 16 * 1024 * 1024;

/** A push server; it takes changes from now on and serves after `listen`. */
export function createPushServer(options: PushServerOptions): PushServer {
  return new AdsServer(options);
}

class AdsServer implements PushServer {
  readonly metrics: PushMetrics = new PushMetrics();
  readonly #options: PushServerOptions;
  readonly #clients = new Set<Client>();
  readonly #debounce: Debounce;
  readonly #server: Server;
  readonly #stopListening: () => void;
  #streams = 0;

  constructor(options: PushServerOptions) {
    this.#options = options;
    this.#debounce = new Debounce(options.clock, options.debounce ?? defaultDebounce, (firstMs) => this.#push(firstMs));
    this.#stopListening = options.index.onDirty(() => this.#debounce.touch());
    // What was there before there was anybody to tell.
    this.#debounce.touch();
    this.#server = new Server({
      "grpc.max_receive_message_length": requestBytesMax,
      "grpc.max_send_message_length": -1,
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5000,
    });
    this.#server.addService(service, {
      delta: (call: Call) => this.#open(call),
      stateOfTheWorld: (call: Call) =>
        fail(
          call,
          grpcStatus.UNIMPLEMENTED,
          "Cannot serve StreamAggregatedResources: only DeltaAggregatedResources is supported (use DELTA_GRPC)",
        ),
    });
  }

  listen(address: string): Promise<number> {
    const credentials = this.#options.credentials ?? ServerCredentials.createInsecure();
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) => {
        if (error !== null)
          reject(new Error(`Cannot bind ADS listener ${address}: ${error.message}`, { cause: error }));
        else resolve(port);
      });
    });
  }

  status(): readonly ClientStatus[] {
    const nowMs = this.#options.clock.monotonicMs();
    return [...this.#clients].map(({ nodeId, connectedAtMs, session, progress }) => ({
      nodeId,
      connectedMs: nowMs - connectedAtMs,
      types: session.status().map((type) => ({ ...type, ...progress.status(type.typeUrl, nowMs) })),
    }));
  }

  close(): Promise<void> {
    this.#stopListening();
    this.#debounce.close();
    for (const client of this.#clients) this.#forget(client);
    this.#server.forceShutdown();
    return Promise.resolve();
  }

  #open(call: Call): void {
    if (this.#streams >= (this.#options.streamsMax ?? 10_000)) {
      this.metrics.refused++;
      fail(
        call,
        grpcStatus.RESOURCE_EXHAUSTED,
        `Cannot open stream: ${this.#streams} are open, which is the most allowed`,
      );
      return;
    }
    this.#streams++;
    let client: Client | undefined;
    // Headers now, so that the client knows that it is connected before there is anything to push.
    call.sendMetadata(new Metadata());
    call.on("data", (bytes: Buffer) => {
      try {
        client = this.#receive(call, client, decodeRequest(bytes));
      } catch (error) {
        fail(call, grpcStatus.INVALID_ARGUMENT, messageOf(error));
      }
    });
    call.on("error", (error) => this.#options.log.debug("ADS stream failed", { error: error.message }));
    call.on("end", () => call.end());
    call.once("close", () => {
      this.#streams--;
      if (client !== undefined) this.#forget(client);
    });
  }

  #receive(call: Call, known: Client | undefined, request: DeltaRequest): Client {
    const client = known ?? this.#connect(call, request);
    const nowMs = this.#options.clock.monotonicMs();
    const outcome = client.session.onRequest(request, nowMs);
    client.progress.answered(outcome, nowMs);
    if (outcome.kind === "nack") {
      this.metrics.countReject(outcome.typeUrl);
      const message = request.error?.message.slice(0, 2000);
      this.#options.log.warn("Client rejected a push", { node: client.nodeId, type: outcome.typeUrl, message });
    }
    if (outcome.convergedMs !== undefined) this.metrics.observeConvergence(outcome.convergedMs);
    this.#pump(client);
    return client;
  }

  #connect(call: Call, { node }: DeltaRequest): Client {
    if (node === undefined) throw new Error("Cannot serve stream: its first request has no node, wanted node.id");
    const connection = this.#options.index.connect(parseNode(node));
    const connectedAtMs = this.#options.clock.monotonicMs();
    const session = new Session(connection.view);
    const client = { call, nodeId: node.id, session, progress: new Progress(), connectedAtMs, connection };
    this.#clients.add(client);
    this.metrics.connected = this.#clients.size;
    this.#options.log.debug("Client connected", { node: node.id });
    return client;
  }

  #forget(client: Client): void {
    if (!this.#clients.delete(client)) return;
    this.metrics.connected = this.#clients.size;
    client.connection.release();
  }

  #push(firstMs: number): void {
    const changes = this.#options.index.flush();
    for (const client of this.#clients) {
      client.session.onChanges(changes, firstMs);
      this.#pump(client);
    }
  }

  /** Writes all that may be written now. One response a type is outstanding, so this is bounded. */
  #pump({ call, session, progress }: Client): void {
    const { index, clock } = this.#options;
    if (!index.isSynced) return;
    for (let push = session.next(); push !== undefined; push = session.next()) {
      this.metrics.countPush(push.typeUrl);
      progress.pushed(push.typeUrl, index.revision, clock.monotonicMs());
      call.write(encodeResponse({ ...push, systemVersion: String(index.revision) }));
    }
  }
}

function fail(call: Call, code: grpcStatus, details: string): void {
  call.emit("error", { code, details });
}

const bytes = (value: Buffer): Buffer => value;

const service: ServiceDefinition = Object.fromEntries(
  Object.entries(adsMethods).map(([name, path]) => [
    name,
    {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  ]),
);
