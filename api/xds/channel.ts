/**
 * A gRPC connection to a control plane, shared by the ADS streams of a process.
 *
 *   client.ts (one stream a proxy) ─▶ AdsChannel (one TCP connection) ─▶ control/push, istiod
 */
import { Client, credentials, type ChannelCredentials, type ClientDuplexStream } from "@grpc/grpc-js";

export interface AdsChannelOptions {
  /** Default: plaintext. */
  readonly credentials?: ChannelCredentials;
  /** Silence after which the server is probed, in ms. Default 1500; with `keepaliveTimeoutMs` a dead server is noticed in 2.5 s. */
  readonly keepaliveMs?: number;
  /** Time for the answer to the probe, in ms. Default 1000. */
  readonly keepaliveTimeoutMs?: number;
}

/** A connection to a control plane, shared by the streams of a process. */
export class AdsChannel {
  readonly #client: Client;

  /** `target` as gRPC has it: "127.0.0.1:15010". No I/O before the first stream. */
  constructor(target: string, options: AdsChannelOptions = {}) {
    this.#client = new Client(target, options.credentials ?? credentials.createInsecure(), {
      "grpc.keepalive_time_ms": options.keepaliveMs ?? 1500,
      "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs ?? 1000,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.max_receive_message_length": 64 * 1024 * 1024,
      "grpc.max_send_message_length": -1,
      // Streams to different control planes of one process must not share what one of them learned.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** A new stream of a method of `adsMethods`. */
  open(method: string): ClientDuplexStream<Buffer, Buffer> {
    const bytes = (value: Buffer): Buffer => value;
    return this.#client.makeBidiStreamRequest(method, bytes, bytes);
  }

  close(): void {
    this.#client.close();
  }
}
