/**
 * TokenRequest: a token for a ServiceAccount, created and not kept. k8s.io/api authentication/v1.
 *
 *   kubelet, kubectl create token ─▶ POST serviceaccounts/NAME/token ─▶ the same object with status.token
 */
import type { KubeObject } from "../meta.ts";

/** The object with whose end the token ends. */
export interface BoundObjectReference {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly name?: string;
  readonly uid?: string;
}

export interface TokenRequest extends KubeObject {
  readonly spec: {
    /** Who may take the token. Empty: the API server. */
    readonly audiences?: readonly string[];
    /** Life of the token, in seconds, >= 600. Default 3600. */
    readonly expirationSeconds?: number;
    readonly boundObjectRef?: BoundObjectReference;
  };
  readonly status?: {
    /** A JWT. Secret. */
    readonly token: string;
    /** RFC 3339. */
    readonly expirationTimestamp: string;
  };
}
