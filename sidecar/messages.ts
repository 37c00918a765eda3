/** What a sidecar's codes mean and what helps. */
import type { MessageTable } from "#lib/messages.ts";
import type { SidecarErrorCode } from "./errors.ts";

export const sidecarMessages: MessageTable<SidecarErrorCode> = {
  BAD_RESOURCE: {
    sentence: "A resource of the control plane cannot be used; the configuration before stays in force",
    hint: "see which field the message names: wherry status",
  },
  UNKNOWN_TYPE: {
    sentence: "The control plane sent a type of resource that was never asked for",
    hint: "use a control plane that speaks the xDS v3 types listed in sidecar/README.md",
  },
  BAD_BOOTSTRAP: {
    sentence: "The Envoy bootstrap file cannot be read, or has something that is not supported",
    hint: "see which field the message names; check a file with: wherry sidecar --mode validate -c FILE",
  },
  CANNOT_LISTEN: {
    sentence: "An address that the configuration names cannot be listened on",
    hint: "see which address the message names, and who has it: ss -ltnp",
  },
  DUPLICATE_POD: { sentence: "The pod has a sidecar already", hint: "remove the sidecar before it is added again" },
  MISSING_SOCKET: {
    sentence: "A listening socket that the pod's sidecar needs was not made",
    hint: "delete the pod, so that its network is made anew: wherry delete pod NAME",
  },
};
