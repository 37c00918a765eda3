/**
 * Tokens of ServiceAccounts: what they claim, and whether they still count.
 *
 *   verbs/token.ts ─▶ tokenClaims() ─▶ identity/tokens.ts ─▶ pod ─▶ Authorization header ─▶ readToken() ─▶ User
 *
 * A token dies with its time, its ServiceAccount, or the pod that it is bound to, whichever is first: all are looked up
 * at each use. Pure but for the cache that is read.
 * Follows: k8s.io/kubernetes pkg/serviceaccount (claims.go), KEP-1205.
 */
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { secrets } from "#api/core/secret.ts";
import { serviceAccounts } from "#api/core/service-account.ts";
import type { KindRef } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import type { Claims, TokenSigner } from "../identity/tokens.ts";
import type { Authenticator } from "./authn.ts";
import type { Registry, User } from "./registry.ts";

/** Who issues the tokens, and who takes them unless they say otherwise. */
export const tokenIssuer = "https://kubernetes.default.svc.cluster.local";

/** How long after the deletion of its object began a token still counts, in ms: time to end in order. kube-apiserver's. */
const deletionLeewayMs = 60_000;

interface Named {
  readonly name: string;
  readonly uid: string;
}

/** The private claims. */
interface Bound {
  readonly namespace: string;
  readonly serviceaccount: Named;
  readonly pod?: Named | undefined;
  readonly node?: Named | undefined;
  readonly secret?: Named | undefined;
  /** Past this moment, in seconds since 1970, the holder ought to have read its token anew. */
  readonly warnafter?: number | undefined;
}

export interface TokenContent {
  readonly bound: Bound;
  readonly audiences: readonly string[];
  readonly nowMs: number;
  /** Life of the token, in seconds. */
  readonly seconds: number;
  readonly id: string;
}

/** The claims of a new token. */
export function tokenClaims({ bound, audiences, nowMs, seconds, id }: TokenContent): Claims {
  const now = Math.floor(nowMs / 1000);
  return {
    aud: audiences,
    exp: now + seconds,
    iat: now,
    iss: tokenIssuer,
    jti: id,
    "kubernetes.io": bound,
    nbf: now,
    sub: `system:serviceaccount:${bound.namespace}:${bound.serviceaccount.name}`,
  };
}

/** What a valid token says. */
export interface TokenIdentity {
  readonly user: User;
  /** Those of the wanted audiences that the token is for. */
  readonly audiences: readonly string[];
}

/** Whose token it is; undefined when it is none of ours, for others, or does not count any more. */
export function readToken(
  registry: Registry,
  signer: TokenSigner,
  token: string,
  wanted: readonly string[] = [tokenIssuer],
): TokenIdentity | undefined {
  const claims = signer.verify(token);
  if (claims === undefined || claims["iss"] !== tokenIssuer) return undefined;
  const nowMs = registry.clock.nowMs();
  if (Number(claims["exp"]) * 1000 <= nowMs || Number(claims["nbf"]) * 1000 > nowMs) return undefined;
  const audiences = (claims["aud"] as readonly string[]).filter((audience) => wanted.includes(audience));
  const bound = claims["kubernetes.io"] as Bound;
  if (audiences.length === 0 || !isAlive(registry, bound, nowMs)) return undefined;
  return { user: userOf(bound, String(claims["jti"])), audiences };
}

/** Bearer tokens of ServiceAccounts. */
export function serviceAccountTokens(registry: Registry, signer: TokenSigner): Authenticator {
  return ({ authorization = "" }) => {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
    return token === undefined ? undefined : readToken(registry, signer, token)?.user;
  };
}

/** The groups of a ServiceAccount's user. */
export function serviceAccountGroups(namespace: string): readonly string[] {
  return ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
}

function isAlive(registry: Registry, { namespace, serviceaccount, pod, node, secret }: Bound, nowMs: number): boolean {
  const holds = (kind: KindRef, scope: string | undefined, named: Named | undefined): boolean => {
    if (named === undefined) return true;
    const key = scope === undefined ? { name: named.name } : { namespace: scope, name: named.name };
    const found: KubeObject | undefined = registry.cache.get(kind, key);
    if (found?.metadata.uid !== named.uid) return false;
    const { deletionTimestamp } = found.metadata;
    return deletionTimestamp === undefined || nowMs < Date.parse(deletionTimestamp) + deletionLeewayMs;
  };
  return (
    holds(serviceAccounts, namespace, serviceaccount) &&
    holds(pods, namespace, pod) &&
    holds(secrets, namespace, secret) &&
    // A token that is bound to a pod says its node for information only.
    (pod !== undefined || holds(nodes, undefined, node))
  );
}

function userOf({ namespace, serviceaccount, pod, node }: Bound, id: string): User {
  return {
    name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
    uid: serviceaccount.uid,
    groups: serviceAccountGroups(namespace),
    extra: {
      "authentication.kubernetes.io/credential-id": [`JTI=${id}`],
      ...(node === undefined
        ? {}
        : {
            "authentication.kubernetes.io/node-name": [node.name],
            "authentication.kubernetes.io/node-uid": [node.uid],
          }),
      ...(pod === undefined
        ? {}
        : { "authentication.kubernetes.io/pod-name": [pod.name], "authentication.kubernetes.io/pod-uid": [pod.uid] }),
    },
  };
}
