/**
 * One question of an active health check: a connection as the cluster makes them, TLS and all, and for HTTP a request.
 *
 *   health-check.ts ─▶ probe() ─▶ dial.ts [─▶ undici] ─▶ passed or not
 *
 * HTTP goes by undici, which is loaded with the first check. Invariant: each question has a connection of its own,
 * which is gone when it is answered. Source: envoy.config.core.v3.HealthCheck.
 */
import type { Socket } from "node:net";
import type { DialFailure } from "../dial-failure.ts";
import { type DialTarget, Dialing } from "../dial.ts";
import type { EngineDeps } from "../types.ts";

export type Check =
  | { readonly kind: "tcp" }
  | {
      readonly kind: "http";
      readonly method: string;
      readonly path: string;
      /** Default the cluster's name. */
      readonly host: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
      /** [from, to) */
      readonly expected: readonly (readonly [from: number, to: number])[];
    };

/** Asks once. Rejects where no connection came about, or no answer, within `timeoutMs` each. */
export async function probe(check: Check, target: DialTarget, deps: EngineDeps): Promise<boolean> {
  if (check.kind === "http") return answers(check, target, deps);
  (await connect(target, deps)).destroy();
  return true;
}

/** By the same dial as requests: from the same network, past the same redirection. */
function connect(target: DialTarget, deps: EngineDeps): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const owner = { deps, onDialed: resolve, onDialFailed: ({ why }: DialFailure): void => reject(new Error(why)) };
  void new Dialing(owner, target);
  return promise;
}

async function answers(
  { method, path, host, headers, expected }: Extract<Check, { kind: "http" }>,
  target: DialTarget,
  deps: EngineDeps,
): Promise<boolean> {
  const { Agent, request } = await import("undici");
  const agent = new Agent({
    connect: (_options, done) => {
      connect(target, deps).then(
        (socket) => done(null, socket),
        (error: Error) => done(error, null),
      );
    },
  });
  const { address, port } = target.to;
  try {
    const { statusCode, body } = await request(
      `http://${address.includes(":") ? `[${address}]` : address}:${port}${path}`,
      {
        method: method as "GET",
        dispatcher: agent,
        headers: { host, "user-agent": "Envoy/HC", ...Object.fromEntries(headers) },
        signal: AbortSignal.timeout(target.timeoutMs),
      },
    );
    // The status is the answer; undici tells of a body that is not read to its end as an error.
    body.on("error", () => undefined).destroy();
    return expected.some(([from, to]) => statusCode >= from && statusCode < to);
  } finally {
    await agent.destroy();
  }
}
