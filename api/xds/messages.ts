/** What the codes of the xDS codec mean and what helps. */
import type { MessageTable } from "#lib/messages.ts";
import type { CodecErrorCode } from "./errors.ts";

export const codecMessages: MessageTable<CodecErrorCode> = {
  no_descriptors: { sentence: "The compiled xDS descriptors are missing or broken", hint: "run: npm install" },
  unknown_type: { sentence: "A message type that is not spoken here", hint: "see the types in api/xds/envoy.ts" },
  unknown_field: { sentence: "A field that its message does not have", hint: "correct the field that the path names" },
  bad_value: {
    sentence: "A value of the wrong type or out of range",
    hint: "correct the field that the path names",
  },
  bad_node: {
    sentence: "A node identifier in none of the known forms",
    hint: "wanted sidecar~IP~POD.NS~DOMAIN, router~IP~POD.NS~DOMAIN or node~NAME",
  },
  bad_bytes: { sentence: "Bytes that are no protobuf message of the type", hint: "use a client of xDS v3" },
};
