/**
 * The headers of an answer that the proxy makes itself, as its route and listener change them. Pure.
 *
 *   AnswerPlan, or a plan whose try failed ─▶ answerHeaders() ─▶ reply.ts
 */
import type { FormatRecord } from "../accesslog/types.ts";
import { plainHop } from "../http1/framing.ts";
import type { ResponseHead } from "../http1/response.ts";
import type { HeaderPairs } from "./cors.ts";
import type { Plan } from "./plan.ts";
import { planResponse } from "./plan-response.ts";
import type { RequestPolicy } from "./policy.ts";

export interface AnswerParts {
  readonly status: number;
  readonly body: string;
  readonly headers: HeaderPairs;
  readonly policy: RequestPolicy;
  readonly record: FormatRecord;
}

/** `headers`, the content type where there is a body, and what the plan adds. */
export function answerHeaders(
  plan: Pick<Plan, "changes" | "cors">,
  { status, body, headers, policy, record }: AnswerParts,
): HeaderPairs {
  const all = body === "" ? headers : [["content-type", "text/plain"] as const, ...headers];
  const names = all.map(([name]) => name);
  const head: ResponseHead = {
    status,
    protocol: "HTTP/1.1",
    reason: "",
    headers: { names, keys: names.map((name) => name.toLowerCase()), values: all.map(([, value]) => value) },
    hop: plainHop,
  };
  const changed = planResponse(plan, head, { policy, record, isLocal: true });
  // The content type is written anyway; here it is only for mutations to see.
  if (changed === head) return headers;
  return changed.headers.names.map((name, at) => [name, changed.headers.values[at]!] as const);
}
