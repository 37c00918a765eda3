/**
 * OpenID Connect discovery: with it anyone can check the tokens of ServiceAccounts.
 *
 *   GET /.well-known/openid-configuration, /openid/v1/jwks ─▶ openIDAt() ─▶ Answer
 *
 * Follows: OpenID Connect Discovery 1.0, k8s.io/kubernetes pkg/serviceaccount/openidmetadata.go.
 */
import type { TokenSigner } from "../identity/tokens.ts";
import { type Answer, json } from "./exchange.ts";
import { tokenIssuer } from "./service-account-tokens.ts";

const keysPath = "openid/v1/jwks";

/** The document at a path's segments; undefined when there is none. */
export function openIDAt(segments: readonly string[], { algorithm, keys }: TokenSigner): Answer | undefined {
  switch (segments.join("/")) {
    case ".well-known/openid-configuration":
      return json({
        issuer: tokenIssuer,
        jwks_uri: `${tokenIssuer}/${keysPath}`,
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: [algorithm],
      });
    case keysPath:
      return { type: "object", code: 200, body: keys, contentType: "application/jwk-set+json" };
    default:
      return undefined;
  }
}
