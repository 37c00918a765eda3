/**
 * What becomes of a request, stage by stage: values first, then text. Pure.
 *
 *   sidecar-path.ts, node-path.ts ─▶ Explanation ─▶ explain.ts (text, JSON)
 */
export interface EndpointState {
  readonly address: string;
  readonly port: number;
  /** Whether a new request may go there. */
  readonly serving: boolean;
  /** `namespace/name`; empty when no pod has the address. */
  readonly pod: string;
  readonly node: string;
  /** Whether a sidecar stands before the program. */
  readonly hasSidecar: boolean;
  /** The NetworkPolicies that refuse the connection, and which way; empty when none does. */
  readonly refusedBy: string;
  /** Whether no program of the pod listens there, so that the connection is refused. */
  readonly isUnheard: boolean;
}

/** One cluster that the route may pick. */
export interface Share {
  readonly cluster: string;
  /** Of 1. */
  readonly share: number;
  /** Undefined: the proxy has no such cluster. */
  readonly endpoints: readonly EndpointState[] | undefined;
}

export interface MatchedRoute {
  /** `default/reviews/0` is the first rule of HTTPRoute default/reviews; `default` is the Service itself. */
  readonly name: string;
  /** Whole request with retries, in ms; 0 is none. */
  readonly timeoutMs: number;
  readonly retriesMax: number;
}

/** How it ends, as far as the mesh decides. */
export type Outcome =
  /** Some program answers. */
  | { readonly kind: "forwarded" }
  /** The mesh answers, with Envoy's response flag. */
  | { readonly kind: "answered"; readonly status: number; readonly flag: string; readonly why: string }
  /** To a node's own port: to whatever listens there. */
  | { readonly kind: "node"; readonly node: string; readonly port: number }
  /** Out of the cluster, as the outbound policy allows. */
  | { readonly kind: "leaves"; readonly destination: string }
  /** The program gets an error from its connection or its resolver. */
  | { readonly kind: "fails"; readonly why: string };

export interface Explanation {
  readonly request: string;
  /** `namespace/name` of the pod that sends it. */
  readonly from: string;
  readonly node: string;
  readonly resolved: { readonly name: string; readonly addresses: readonly string[] } | undefined;
  /** `namespace/name:port`; undefined when the address is no Service's. */
  readonly service: string | undefined;
  /** Who decides: the pod's own sidecar, or the rules of its node. */
  readonly by: "sidecar" | "gateway" | "node rules" | "nobody";
  readonly listener: string | undefined;
  readonly route: MatchedRoute | undefined;
  readonly shares: readonly Share[];
  readonly outcome: Outcome;
}

/** For people: one line a stage, the outcome last. */
export function formatExplanation(explanation: Explanation): string {
  const { request, from, node, resolved, service, by, listener, route, shares } = explanation;
  const lines = [
    `${request} from ${from} on ${node}`,
    line("dns", resolved === undefined ? "" : `${resolved.name} → ${resolved.addresses.join(", ") || "no address"}`),
    line("service", service ?? ""),
    line("decides", by === "nobody" ? "" : `${by}${listener === undefined ? "" : `, listener ${listener}`}`),
    line("route", route === undefined ? "" : formatRoute(route)),
    ...shares.flatMap(formatShare),
    `→ ${formatOutcome(explanation)}`,
  ];
  return `${lines.filter((text) => text !== "").join("\n")}\n`;
}

function line(stage: string, text: string): string {
  return text === "" ? "" : `  ${stage.padEnd(10)}${text}`;
}

function formatRoute({ name, timeoutMs, retriesMax }: MatchedRoute): string {
  const limit = timeoutMs === 0 ? "no timeout" : `timeout ${timeoutMs} ms`;
  return `${name || "unnamed"} (${limit}, ${retriesMax === 0 ? "no retry" : `${retriesMax} more tries`})`;
}

function formatShare({ cluster, share, endpoints }: Share): string[] {
  const percent = `${Number((share * 100).toFixed(2))} %`;
  if (endpoints === undefined) return [line("cluster", `${percent} ${cluster}: there is no such cluster`)];
  const head = line(
    "cluster",
    `${percent} ${cluster}, ${endpoints.length} endpoint${endpoints.length === 1 ? "" : "s"}`,
  );
  return [head, ...endpoints.map((endpoint) => line("", `  ${formatEndpoint(endpoint)}`))];
}

function formatEndpoint({ address, port, pod, node, hasSidecar, refusedBy, ...endpoint }: EndpointState): string {
  const where = pod === "" ? "no pod" : `${pod} on ${node}${hasSidecar ? ", through its sidecar" : ""}`;
  const heard = endpoint.isUnheard ? "NOBODY LISTENS" : "ready";
  const state = refusedBy === "" ? (endpoint.serving ? heard : "NOT READY") : "REFUSED";
  return `${address}:${port} ${state}  ${where}${refusedBy === "" ? "" : `, by ${refusedBy}`}`;
}

function formatOutcome({ outcome, shares }: Explanation): string {
  switch (outcome.kind) {
    case "forwarded": {
      const ready = shares.flatMap(({ endpoints = [] }) => endpoints.filter(({ serving }) => serving));
      const refused = ready.filter(({ refusedBy }) => refusedBy !== "").length;
      if (refused > 0)
        return `sent to one of ${ready.length} endpoints in turn, ${refused} of them behind a policy that refuses`;
      const unheard = ready.filter(({ isUnheard }) => isUnheard).length;
      if (unheard > 0) return `sent to one of ${ready.length} endpoints in turn, nothing listens on ${unheard} of them`;
      if (ready.length === 1) return "answered by its one endpoint";
      return `answered by one of ${ready.length} endpoints, each in its turn`;
    }
    case "answered":
      return `answered ${outcome.status} by the mesh (${outcome.flag}): ${outcome.why}`;
    case "node":
      return `reaches port ${outcome.port} of ${outcome.node} itself: answered by what listens there, else refused`;
    case "leaves":
      return `leaves the cluster for ${outcome.destination}: the outbound policy allows it`;
    case "fails":
      return `fails: ${outcome.why}`;
  }
}
