/**
 * TokenRequest: a token for a ServiceAccount, made and not kept.
 *
 *   kubelet, kubectl create token ─▶ POST serviceaccounts/NAME/token ─▶ createToken() ─▶ the request with status.token
 *
 * Follows: k8s.io/kubernetes pkg/registry/core/serviceaccount/storage (TokenREST), pkg/apis/authentication/validation.
 */
import type { BoundObjectReference, TokenRequest } from "#api/authentication/token-request.ts";
import { nodes } from "#api/core/node.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { secrets } from "#api/core/secret.ts";
import { serviceAccounts } from "#api/core/service-account.ts";
import { formatTime, type KubeObject } from "#api/meta.ts";
import { type FieldError, invalidError, invalidValue } from "#api/schema/field-error.ts";
import { StatusError } from "#api/status.ts";
import type { TokenSigner } from "../../identity/tokens.ts";
import { formatUUID } from "../object-meta.ts";
import { conflict, mustGet, type ObjectRequest, type Registry } from "../registry.ts";
import { tokenClaims, tokenIssuer } from "../service-account-tokens.ts";
import { nodeNameOf } from "../authz/node-rules.ts";

const secondsDefault = 3600;
const secondsMin = 600;
const secondsMax = 2 ** 32;
/**
 * The life that the pods' own token volume asks for. Programs that read their token once and never again would fail
 * when it ends, so such a token lives for a year, and says when it ought to have been read anew. kube-apiserver's
 * --service-account-extend-token-expiration.
 */
const volumeSeconds = 3607;
const extendedSeconds = 365 * 24 * 3600;

const kindRef = {
  ...serviceAccounts,
  group: "authentication.k8s.io",
  kind: "TokenRequest",
};

/** The request, answered. Throws NotFound, BadRequest, Invalid, Conflict, Forbidden. */
export function createToken(
  registry: Registry,
  signer: TokenSigner,
  request: ObjectRequest,
  body: unknown,
): TokenRequest {
  const { key, user } = request;
  const sent = readTokenRequest(request, body);
  const account = mustGet(registry, serviceAccounts, key);
  const bound = resolve(registry, request, sent.boundObjectRef);
  const nodeName = nodeNameOf(user);
  if (nodeName !== undefined) checkNode(nodeName, bound);
  const { expirationSeconds: asked = secondsDefault, audiences: named = [] } = sent;
  const audiences = named.length === 0 ? [tokenIssuer] : named;
  const isOwn = audiences.length === 1 && audiences[0] === tokenIssuer;
  const isExtended = asked === volumeSeconds && bound?.kind === "Pod" && isOwn;
  const nowMs = registry.clock.nowMs();
  const claims = tokenClaims({
    bound: {
      namespace: key.namespace ?? "",
      ...(bound === undefined ? {} : boundClaims(registry, bound)),
      serviceaccount: nameOf(account),
      ...(isExtended ? { warnafter: Math.floor(nowMs / 1000) + asked } : {}),
    },
    audiences,
    nowMs,
    seconds: isExtended ? extendedSeconds : asked,
    id: formatUUID(registry.random.bytes(16)),
  });
  return {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: { ...key, creationTimestamp: formatTime(nowMs) },
    spec: { ...sent, audiences, expirationSeconds: asked },
    // The time by which to ask again, also where the token lives longer.
    status: { token: signer.sign(claims), expirationTimestamp: formatTime(nowMs + asked * 1000) },
  };
}

interface Bound {
  readonly kind: "Pod" | "Secret" | "Node";
  readonly object: KubeObject;
}

function readTokenRequest({ key }: ObjectRequest, body: unknown): TokenRequest["spec"] {
  const sent = body as Partial<TokenRequest> | null | undefined;
  if (typeof sent !== "object" || sent?.kind !== "TokenRequest" || sent.apiVersion !== "authentication.k8s.io/v1")
    throw new StatusError(
      "BadRequest",
      "Cannot read TokenRequest: wanted apiVersion authentication.k8s.io/v1 and kind TokenRequest",
    );
  const spec = typeof sent.spec === "object" && sent.spec !== null ? sent.spec : {};
  const { audiences = [], expirationSeconds, boundObjectRef } = spec as Readonly<Record<string, unknown>>;
  if (!Array.isArray(audiences) || !audiences.every((audience) => typeof audience === "string"))
    throw new StatusError("BadRequest", "Cannot read TokenRequest: spec.audiences: wanted a list of strings");
  if (boundObjectRef !== undefined && (typeof boundObjectRef !== "object" || boundObjectRef === null))
    throw new StatusError("BadRequest", "Cannot read TokenRequest: spec.boundObjectRef: wanted an object");
  const error = expirationError(expirationSeconds);
  if (error !== undefined) throw invalidError(kindRef, key.name, [error]);
  return {
    audiences: audiences,
    ...(expirationSeconds === undefined ? {} : { expirationSeconds: expirationSeconds as number }),
    ...(boundObjectRef === undefined ? {} : { boundObjectRef: boundObjectRef }),
  };
}

function expirationError(seconds: unknown): FieldError | undefined {
  const path = "spec.expirationSeconds";
  if (seconds === undefined) return undefined;
  if (typeof seconds !== "number" || !Number.isInteger(seconds))
    throw new StatusError("BadRequest", `Cannot read TokenRequest: ${path}: wanted a whole number`);
  if (seconds < secondsMin) return invalidValue(path, seconds, "may not specify a duration less than 10 minutes");
  if (seconds > secondsMax) return invalidValue(path, seconds, "may not specify a duration larger than 2^32 seconds");
  return undefined;
}

/** The object that the token is bound to. */
function resolve(registry: Registry, { key }: ObjectRequest, ref: BoundObjectReference | undefined): Bound | undefined {
  if (ref === undefined) return undefined;
  const { kind = "", apiVersion = "", name = "", uid = "" } = ref;
  if ((kind !== "Pod" && kind !== "Secret" && kind !== "Node") || apiVersion !== "v1")
    throw new StatusError("BadRequest", `cannot bind token to object of type /${apiVersion}, Kind=${kind}`);
  const scope = kind === "Node" || key.namespace === undefined ? {} : { namespace: key.namespace };
  const served = { Pod: pods, Secret: secrets, Node: nodes }[kind];
  const object = mustGet(registry, served, { ...scope, name });
  if (uid !== "" && uid !== object.metadata.uid)
    throw conflict(
      served,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  if (kind === "Pod" && ((object as Pod).spec.serviceAccountName ?? "default") !== key.name)
    throw new StatusError(
      "BadRequest",
      `cannot bind token for serviceaccount ${JSON.stringify(key.name)} to pod running with different serviceaccount name.`,
    );
  return { kind, object };
}

/** A kubelet gets tokens for its own pods only. Admission plugin NodeRestriction. */
function checkNode(nodeName: string, bound: Bound | undefined): void {
  if (bound?.kind !== "Pod") throw new StatusError("Forbidden", `node requested token not bound to a pod`);
  if ((bound.object as Pod).spec.nodeName !== nodeName)
    throw new StatusError("Forbidden", "node requested token bound to a pod scheduled on a different node");
}

type Named = { readonly name: string; readonly uid: string };

function boundClaims(registry: Registry, { kind, object }: Bound): Readonly<Record<string, Named>> {
  if (kind === "Node") return { node: nameOf(object) };
  if (kind === "Secret") return { secret: nameOf(object) };
  const node = registry.cache.get(nodes, { name: (object as Pod).spec.nodeName ?? "" });
  return { ...(node === undefined ? {} : { node: nameOf(node) }), pod: nameOf(object) };
}

function nameOf({ metadata }: KubeObject): Named {
  return { name: metadata.name, uid: metadata.uid ?? "" };
}
