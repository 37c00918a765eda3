/**
 * What is known of one request while it runs, and told to the observer when it is done.
 *
 *   exchange.ts, forwarding.ts (write) ─▶ ExchangeFacts ─▶ access logs, metrics, spans, header values with operators
 *
 * Invariant: the object is the record itself, so that a request costs none beside it.
 */
import type { Cluster } from "./cluster.ts";
import type { ConnectionInfo, ExchangeRecord } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointOverride } from "./filter.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { CompiledRoute } from "./route/types.ts";
import type { UpstreamStream } from "./stream.ts";
import type { ResponseFlag } from "./types.ts";

export class ExchangeFacts implements ExchangeRecord {
  readonly connection: ConnectionInfo;
  readonly head: RequestHead;
  /** As it came, where `head` is what filters made of the prepared one (policy.ts); undefined: there are no filters. */
  received: RequestHead | undefined;
  route: CompiledRoute | undefined;
  cluster: Cluster | undefined;
  endpoint: Endpoint | undefined;
  /** What the last try was sent by. */
  upstream: UpstreamStream | undefined;
  /** Where a filter sends the first try. */
  endpointOverride: EndpointOverride | undefined;
  response: ResponseHead | undefined;
  responseTrailers: Headers | undefined;
  /** As it is sent on. */
  sentHead: RequestHead | undefined;
  details: string | undefined;
  /** Of the last try, in Envoy's words. */
  upstreamFailure: string | undefined;
  /** From the start, in ms: to the end of the request, to the first byte of the response. */
  requestMs: number | undefined;
  responseMs: number | undefined;
  /** Every filter let it pass, and a route was looked for. */
  isRouted = false;
  /** Tries made. */
  attempts = 0;
  status = 0;
  /** As the upstream or the proxy gave it: before filters, the listener or gRPC changed it; 0: it is `status`. */
  givenStatus = 0;
  flag: ResponseFlag = "-";
  requestBytes = 0;
  responseBytes = 0;
  durationMs = 0;
  /** The whole request has come. In a tunnel: the downstream has ended its side. */
  isRequestWhole = false;

  constructor(connection: ConnectionInfo, head: RequestHead) {
    this.connection = connection;
    this.head = head;
  }

  get routeName(): string | undefined {
    return this.route?.name;
  }

  get virtualHostName(): string | undefined {
    return this.route?.hostName;
  }
}
