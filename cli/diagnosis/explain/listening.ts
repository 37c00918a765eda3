/**
 * Whether a program listens where a connection ends: by the sockets of the pod's own network. Pure.
 *
 *   inside.ts: sockets that listen, by pod ─▶ withSockets(): endpoints that would refuse ─▶ Followed
 */
import type { ListeningSocket } from "../listening-sockets.ts";
import type { EndpointState, Outcome } from "./explanation.ts";
import type { Followed } from "./sidecar-path.ts";

const anyAddress: readonly string[] = ["0.0.0.0", "::"];

export interface SocketSurroundings {
  /** By the address of a pod; one that is missing could not be looked at. */
  readonly sockets: ReadonlyMap<string, readonly ListeningSocket[]>;
  /** A sidecar, a gateway or the node's HTTP engine answers in the pod's place. */
  readonly isProxied: boolean;
  /** What helps, or empty. */
  readonly hint: string;
}

/** What becomes of a request, less what nobody accepts. */
export function withSockets(followed: Followed, { sockets, isProxied, hint }: SocketSurroundings): Followed {
  const judge = (endpoint: EndpointState): EndpointState => ({
    ...endpoint,
    isUnheard: isUnheard(endpoint, sockets.get(endpoint.address)),
  });
  const shares = followed.shares.map((share) =>
    share.endpoints === undefined ? share : { ...share, endpoints: share.endpoints.map(judge) },
  );
  const serving = shares.flatMap(({ endpoints = [] }) => endpoints.filter((endpoint) => endpoint.serving));
  const [first] = serving;
  const isRefused = followed.outcome.kind === "forwarded" && serving.every((endpoint) => endpoint.isUnheard);
  if (first === undefined || !isRefused) return { ...followed, shares };
  const where = serving.length === 1 ? `${first.address}:${first.port}` : `port ${first.port} of any endpoint`;
  const why = `nothing listens on ${where}: the connection is refused${hint === "" ? "" : ` (${hint})`}`;
  const isByMesh = isProxied || serving.every(({ hasSidecar }) => hasSidecar);
  const outcome: Outcome = isByMesh ? { kind: "answered", status: 503, flag: "UF", why } : { kind: "fails", why };
  return { ...followed, shares, outcome };
}

/** A sidecar connects from within the pod, also to programs that listen on its loopback alone. */
function isUnheard({ address, port, hasSidecar }: EndpointState, own: readonly ListeningSocket[] | undefined): boolean {
  if (own === undefined) return false;
  return !own.some((each) => each.port === port && (hasSidecar || [...anyAddress, address].includes(each.address)));
}
