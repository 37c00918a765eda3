/**
 * What a sidecar can refuse. Codes are stable; the message says the field or the pod.
 */
import { CodedError } from "#lib/errors.ts";

export type SidecarErrorCode =
  | "BAD_RESOURCE" // a resource of the control plane that cannot be used: becomes the NACK
  | "UNKNOWN_TYPE" // a resource type that was never asked for
  | "DUPLICATE_POD" // add() for a pod that has a sidecar
  | "BAD_BOOTSTRAP" // an Envoy bootstrap that cannot be read or used
  | "CANNOT_LISTEN" // an address that could not be bound
  | "MISSING_SOCKET"; // a listening socket that the specification wants was not given

export class SidecarError extends CodedError<SidecarErrorCode> {}
