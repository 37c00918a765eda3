/**
 * Envoy's small filters: buffer, header_mutation and health_check.
 *
 *   config/http-filters.ts (their settings) ─▶ registry.ts ─▶ one factory a chain
 *
 * Source: envoy.extensions.filters.http.{buffer,header_mutation,health_check}.v3.
 */
import type { BufferConfig } from "../config/buffer.ts";
import type { HeaderMutationConfig } from "../config/header-mutation.ts";
import type { HealthCheckConfig } from "../config/http-filters.ts";
import type { FormatRecord } from "../accesslog/types.ts";
import type { HeaderEditor, HttpFilterFactory } from "../filter.ts";
import { plainInfo } from "../route/match.ts";
import type { HeaderMutations } from "../route/types.ts";

/** Holds a request until its body is whole. */
export function bufferFilter(name: string, config: BufferConfig): HttpFilterFactory {
  return {
    name,
    create: () => ({
      onRequestHeaders(context, isWhole) {
        const setting = isWhole ? "disabled" : context.routeConfigOf(name);
        if (setting === "disabled") return "continue";
        context.gatherRequest(((setting as BufferConfig | undefined) ?? config).bytesMax);
        return "stop";
      },
    }),
  };
}

/** Changes headers before the route is chosen, and when the response comes. */
export function headerMutationFilter(name: string, { request, response }: HeaderMutationConfig): HttpFilterFactory {
  return {
    name,
    create: () => ({
      onRequestHeaders(context) {
        apply(context.requestHeaders, request, context.facts());
        return "continue";
      },
      onResponseHeaders(context) {
        if (response.length > 0) apply(context.responseHeaders, response, context.facts());
        return "continue";
      },
    }),
  };
}

/** Answers health checks itself, without asking an upstream. */
export function healthCheckFilter(name: string, { headers }: HealthCheckConfig): HttpFilterFactory {
  return {
    name,
    create: () => ({
      onRequestHeaders(context) {
        if (!headers.every((matches) => matches(context.request, plainInfo))) return "continue";
        context.reply({ status: 200 });
        return "stop";
      },
    }),
  };
}

function apply(editor: HeaderEditor, levels: readonly HeaderMutations[], record: FormatRecord): void {
  for (const { removes, adds } of levels) {
    for (const key of removes) editor.remove(key);
    for (const { name, value, action, keepsEmpty } of adds) {
      const text = value.constant ?? value.render(record, "");
      if (text === "" && !keepsEmpty) continue;
      const isThere = editor.get(name) !== undefined;
      if (action === "append") editor.append(name, text);
      else if (action === "overwrite" || (action === "overwriteIfExists") === isThere) editor.set(name, text);
    }
  }
}
