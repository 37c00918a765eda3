/**
 * Tokens of ServiceAccounts for projected volumes: bound to the pod, renewed at 80 % of their life.
 *
 *   payload.ts ─▶ token() ─▶ TokenRequest ─▶ API server
 *
 * Invariant: a token is held in memory and in the pod's volume only; it is never logged, and an error never holds one.
 * A kubelet that starts anew asks for new tokens: it does not know how old those in the volumes are.
 */
import type { TokenRequest } from "#api/authentication/token-request.ts";
import type { ObjectKey } from "#api/meta.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Clock } from "#lib/clock.ts";

/** What creates tokens: HttpKubeClient. */
export interface TokenSource {
  createToken(serviceAccount: ObjectKey, request: TokenRequest): Promise<TokenRequest>;
}

/** What a volume asks for. */
export interface TokenWish {
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

interface Held {
  readonly token: string;
  /** By the monotonic clock, as is the next. */
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

const renewRatio = 0.8;
/** A token is renewed after that at the latest, whatever its life, in ms. */
const ageMaxMs = 24 * 3600 * 1000;

export class Tokens {
  readonly #source: TokenSource;
  readonly #clock: Clock;
  /** Pod's uid → wish → token. Bounded by the node's pods and their volumes. */
  readonly #held = new Map<string, Map<string, Held>>();

  constructor(source: TokenSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** A token that is good for a while. The old one, when a new one cannot be had and the old one is still good. */
  async token(pod: Pod, wish: TokenWish): Promise<string> {
    const { uid = "" } = pod.metadata;
    const ofPod = this.#held.get(uid) ?? new Map<string, Held>();
    const key = JSON.stringify([wish.audience, wish.expirationSeconds]);
    const held = ofPod.get(key);
    if (held !== undefined && held.renewAtMs > this.#clock.monotonicMs()) return held.token;
    try {
      const fresh = await this.#request(pod, wish);
      ofPod.set(key, fresh);
      this.#held.set(uid, ofPod);
      return fresh.token;
    } catch (error) {
      // The API server is away: that is no reason to fail a pod, and the next look at its volumes asks again.
      if (held !== undefined && held.expiresAtMs > this.#clock.monotonicMs()) return held.token;
      throw error;
    }
  }

  /** The pod has gone. */
  forget(podUid: string): void {
    this.#held.delete(podUid);
  }

  async #request(pod: Pod, { audience, expirationSeconds }: TokenWish): Promise<Held> {
    const { namespace = "default", name, uid = "" } = pod.metadata;
    const account = pod.spec.serviceAccountName ?? "default";
    const answer = await this.#source.createToken(
      { namespace, name: account },
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        metadata: { name: account, namespace },
        spec: {
          ...(audience === undefined ? {} : { audiences: [audience] }),
          expirationSeconds,
          boundObjectRef: { kind: "Pod", apiVersion: "v1", name, uid },
        },
      },
    );
    if (answer.status === undefined) throw new Error(`Cannot get a token of ${namespace}/${account}: empty answer`);
    const lifeMs = Date.parse(answer.status.expirationTimestamp) - this.#clock.nowMs();
    const useMs = Math.min(Math.max(lifeMs, 0) * renewRatio, ageMaxMs);
    const nowMs = this.#clock.monotonicMs();
    return { token: answer.status.token, renewAtMs: nowMs + useMs, expiresAtMs: nowMs + lifeMs };
  }
}
