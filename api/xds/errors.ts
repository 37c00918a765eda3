/** Errors of the xDS codec and client. The message names the path of the bad field: `filter_chains[0].name: …`. */
import { CodedError } from "#lib/errors.ts";

export type CodecErrorCode =
  /** build/xds.json is missing or broken. */
  | "no_descriptors"
  /** A message type that Wherry does not speak. */
  | "unknown_type"
  /** A field that its message does not have. */
  | "unknown_field"
  /** A value of the wrong type or out of range. */
  | "bad_value"
  /** A node identifier in none of the formats of node-id.ts. */
  | "bad_node"
  /** Bytes that are no protobuf message of the type. */
  | "bad_bytes";

export class CodecError extends CodedError<CodecErrorCode> {}
