/**
 * A DataSource: text that stands in the configuration, or in a file beside it.
 *
 * The one reader here with an effect: a file is read when the configuration is.
 * Source: envoy.config.core.v3.DataSource.
 */
import { readFileSync } from "node:fs";
import { messageOf } from "#lib/errors.ts";
import type { Reader } from "./reader.ts";

/** The text of field `name`; empty when it is not there. */
export function readDataSource(reader: Reader, name: string): string {
  const source = reader.object(name);
  if (source === undefined) return "";
  const text = source.text("inline_string");
  const bytes = source.text("inline_bytes");
  const file = source.text("filename");
  source.done();
  if (file !== undefined && file !== "") {
    try {
      return readFileSync(file, "utf8");
    } catch (error) {
      throw source.bad("filename", `${JSON.stringify(file)} cannot be read: ${messageOf(error)}`);
    }
  }
  return text ?? (bytes === undefined ? "" : Buffer.from(bytes, "base64").toString("utf8"));
}
