/**
 * The `metadata` of a message → Metadata, for operators that give it. Pure.
 *
 * Only filter_metadata: typed ones are for filters of others. Source: envoy.config.core.v3.Metadata.
 */
import type { Metadata } from "../accesslog/types.ts";
import type { Reader } from "./reader.ts";

export function readMetadata(reader: Reader): Metadata | undefined {
  const value = reader.object("metadata")?.raw("filter_metadata");
  return typeof value === "object" && value !== null ? (value as Metadata) : undefined;
}
