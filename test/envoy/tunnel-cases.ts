/**
 * Tunnels in every combination of what the downstream and the upstream speak.
 *
 *   tunnel-cases.ts ─▶ tunnels.ts ─▶ Envoy and Wherry ─▶ tunnels.json
 */
import type { Fields } from "./types.ts";

export interface TunnelCase {
  /** What the downstream speaks; "tcp": tcp_proxy with tunneling_config, which asks for the tunnel itself. */
  readonly downstream: "http1" | "http2" | "tcp";
  /** "tcp": the proxy ends the tunnel. */
  readonly upstream: "http1" | "http2" | "tcp";
  /** How the upstream answers: a status, or one of these. */
  readonly answer: string;
  /** Asks for a WebSocket, by what its protocol has for it. */
  readonly isWebSocket?: boolean;
  /** Headers beside those that make the request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Of TcpProxy. */
  readonly tunneling?: Fields;
  /** Tells cases apart that are otherwise the same. */
  readonly what?: string;
}

const sides = ["http1", "http2"] as const;
const answers = ["200", "201", "403", "101", "200 with length", "reset"] as const;

const asked: readonly TunnelCase[] = sides.flatMap((downstream) =>
  sides.flatMap((upstream) =>
    answers
      .filter((answer) => answer !== "101" || upstream === "http1")
      .map((answer): TunnelCase => ({ downstream, upstream, answer })),
  ),
);

const ended: readonly TunnelCase[] = sides.map((downstream) => ({ downstream, upstream: "tcp", answer: "200" }));

const webSockets: readonly TunnelCase[] = sides.flatMap((downstream) =>
  sides.flatMap((upstream) =>
    ["200", "403"].map((answer): TunnelCase => ({ downstream, upstream, answer, isWebSocket: true })),
  ),
);

const headers: readonly TunnelCase[] = sides.flatMap((downstream) =>
  sides.map((upstream) => ({ downstream, upstream, answer: "200", headers: { "x-a": "b" }, what: "a header" })),
);

const overTCP: readonly TunnelCase[] = sides.flatMap((upstream) => [
  ...answers
    .filter((answer) => answer !== "101" || upstream === "http1")
    .map((answer): TunnelCase => ({ downstream: "tcp", upstream, answer })),
  {
    downstream: "tcp" as const,
    upstream,
    answer: "200",
    what: "formatted",
    tunneling: {
      hostname: "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:443",
      headers_to_add: [
        { header: { key: "x-a", value: "b" } },
        { header: { key: "x-b", value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" }, append_action: "ADD_IF_ABSENT" },
        { header: { key: "x-a", value: "c" }, append_action: "APPEND_IF_EXISTS_OR_ADD" },
      ],
    },
  },
  { downstream: "tcp" as const, upstream, answer: "200", what: "no port", tunneling: { hostname: "plain" } },
]);

export const tunnelCases: readonly TunnelCase[] = [...ended, ...asked, ...headers, ...webSockets, ...overTCP];

export const nameOf = ({ downstream, upstream, answer, isWebSocket = false, what }: TunnelCase): string =>
  `${downstream} to ${upstream}${isWebSocket ? ", WebSocket" : ""}, ${answer}${what === undefined ? "" : `, ${what}`}`;
