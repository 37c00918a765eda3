/**
 * Begins to serve a request: through the filters of its chain; without filters, straight by the exchange.
 *
 *   downstream ─▶ startExchange() ─▶ Exchange                                      (no filters)
 *   downstream ─▶ startExchange() ─▶ FilteredExchange ⇄ Exchange ⇄ upstream        (filters)
 *
 * Filters see a request as its listener has it: a path that only looks like another goes past none of them.
 */
import type { HTTPContext } from "../context.ts";
import { Exchange } from "../exchange.ts";
import type { RequestHead } from "../http1/request.ts";
import { prepareHead } from "../route/policy.ts";
import type { DownstreamHandler, DownstreamStream } from "../stream.ts";
import { FilteredExchange } from "./run.ts";

/** What serves the request `head`, which is under way from now on; start() begins. */
export function startExchange(
  downstream: DownstreamStream,
  context: HTTPContext,
  head: RequestHead,
  startMs: number,
): DownstreamHandler {
  context.load.requests++;
  if (context.filters.length === 0) return new Exchange(downstream, context, head, startMs);
  const prepared = prepareHead(head, context.policy, {
    connection: downstream.info,
    newRequestId: context.newRequestId,
  });
  // What the listener itself answers is no filter's to see.
  if (prepared.kind !== "head") return new Exchange(downstream, context, head, startMs);
  return new FilteredExchange(downstream, context, { received: head, head: prepared.head }, startMs);
}
