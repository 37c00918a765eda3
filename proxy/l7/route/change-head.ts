/**
 * The head of a request as a route changes it: headers, path, host, and what one try says of itself. Pure.
 *
 *   plan.ts ─▶ changeHead() ─▶ ForwardPlan.head ─▶ headOfTry() ─▶ request-source.ts
 *
 * Invariant: a head comes out as the very same object where nothing changes it. Source: Envoy's router filter.
 */
import type { FormatRecord } from "../accesslog/types.ts";
import type { RequestHead } from "../http1/request.ts";
import { HeadEditor } from "./head-editor.ts";
import { mutate } from "./mutate.ts";
import { rewriteHost, rewriteTarget } from "./rewrite.ts";
import type { RouteChanges } from "./types.ts";

/** Headers from the most specific level on, then path and host: values are made of what was received. */
export function changeHead(head: RequestHead, changes: RouteChanges, known: FormatRecord): RequestHead {
  const editor = new HeadEditor(head);
  const record = (): FormatRecord => ({ ...known, head: editor.finish(), sentHead: undefined });
  mutate(editor, changes.request, record);
  if (changes.path !== undefined && head.method !== "CONNECT") {
    const target = rewriteTarget(editor.target, changes.path);
    editor.set("x-envoy-original-path", editor.target);
    editor.setTarget(target);
  }
  if (changes.host !== undefined) {
    const host = rewriteHost(head, changes.host);
    if (host !== undefined && host !== "") {
      // The rewrite of a weighted entry is not told, as in Envoy.
      if (changes.host.kind !== "entry") editor.set("x-envoy-original-host", editor.get("host") ?? editor.host);
      replaceHost(editor, host, changes.appendsForwardedHost);
    }
  }
  return editor.finish();
}

function replaceHost(editor: HeadEditor, host: string, appendsForwardedHost: boolean): void {
  const before = editor.get("host") ?? editor.host;
  if (appendsForwardedHost) {
    const listed = editor.get("x-forwarded-host");
    editor.set("X-Forwarded-Host", listed === undefined ? before : `${listed},${before}`);
  }
  editor.setHost(host);
}

/** Of a request that is sent on. */
export interface PlannedHead {
  readonly head: RequestHead;
  readonly changes: RouteChanges | undefined;
}

export interface Try {
  /** From 1. */
  readonly attempt: number;
  /** The name by which the endpoint was configured, or its address. */
  readonly endpointHost: string;
  readonly isTimeoutRetry: boolean;
}

/**
 * The head of one try: that of the plan, unless the route tells the upstream which try it is, or names it by its own
 * host.
 */
export function headOfTry(plan: PlannedHead, { attempt, endpointHost, isTimeoutRetry }: Try): RequestHead {
  const { changes } = plan;
  if (changes === undefined) return plan.head;
  const isOwnHost = changes.host?.kind === "endpoint";
  if (!changes.countsAttempts && !isOwnHost && !changes.tellsTimeoutRetry) return plan.head;
  const editor = new HeadEditor(plan.head);
  if (isOwnHost) editor.set("x-envoy-original-host", editor.get("host") ?? editor.host);
  if (isOwnHost) replaceHost(editor, endpointHost, changes.appendsForwardedHost);
  if (changes.countsAttempts) editor.set("x-envoy-attempt-count", String(attempt));
  if (changes.tellsTimeoutRetry && attempt > 1) editor.set("x-envoy-is-timeout-retry", String(isTimeoutRetry));
  return editor.finish();
}
