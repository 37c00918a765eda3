/**
 * The head of a response, of the upstream or of the proxy itself, as the downstream gets it. Pure.
 *
 *   Plan, ResponseHead ─▶ planResponse() ─▶ forwarding.ts, answer.ts
 *
 * Invariant: a head comes out as the very same object where nothing changes it.
 */
import { copyRecord } from "../accesslog/record.ts";
import type { FormatRecord } from "../accesslog/types.ts";
import { withHeader } from "../http1/headers.ts";
import type { ResponseHead } from "../http1/response.ts";
import { HeadersEditor } from "./head-editor.ts";
import { mutate } from "./mutate.ts";
import type { Plan } from "./plan.ts";
import type { RequestPolicy } from "./policy.ts";

export interface ResponseInput {
  readonly policy: RequestPolicy;
  readonly record: FormatRecord;
  /** A cookie that the route's hash policy made. */
  readonly setCookie?: string | undefined;
  /** From the end of the request to the response, in ms; less than 0 where it is not told. */
  readonly tookMs?: number;
  /** Made here: no status is known yet when Envoy makes the values of its headers. */
  readonly isLocal?: boolean;
}

export function planResponse(
  { changes, cors }: Pick<Plan, "changes" | "cors">,
  received: ResponseHead,
  { policy, record, setCookie, tookMs = -1, isLocal = false }: ResponseInput,
): ResponseHead {
  const response = tookMs < 0 ? received : withServiceTime(received, tookMs);
  const isPlain = cors.length === 0 && setCookie === undefined && policy.server === undefined && policy.via === "";
  if (isPlain && (changes === undefined || (changes.response.length === 0 && !changes.tellsAttempts))) return response;
  const editor = new HeadersEditor(response.headers);
  for (const [name, value] of cors) editor.set(name, value);
  if (setCookie !== undefined) editor.append("Set-Cookie", setCookie);
  if (changes !== undefined) {
    mutate(editor, changes.response, () => ({
      ...copyRecord(record),
      ...(isLocal ? { status: 0 } : {}),
      response: { ...response, headers: editor.headers },
    }));
    if (changes.tellsAttempts && record.attempts) editor.set("x-envoy-attempt-count", String(record.attempts));
  }
  if (policy.server?.mode === "overwrite" || (policy.server !== undefined && !editor.has("server")))
    editor.set("Server", policy.server.name);
  if (policy.via !== "") {
    const before = editor.get("via");
    editor.set("Via", before === undefined ? policy.via : `${before}, ${policy.via}`);
  }
  return editor.isChanged ? { ...response, headers: editor.headers } : response;
}

function withServiceTime(response: ResponseHead, tookMs: number): ResponseHead {
  const key = "x-envoy-upstream-service-time";
  const value = String(Math.floor(tookMs));
  const { status, protocol, reason, headers: received, hop } = response;
  if (!received.keys.includes(key))
    return { status, protocol, reason, headers: withHeader(received, key, key, value), hop };
  const editor = new HeadersEditor(received);
  editor.set(key, value);
  return { ...response, headers: editor.headers };
}
