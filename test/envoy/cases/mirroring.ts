/** Copies of requests: the other upstream is asked afterwards what came. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const to = (name: string, policies: readonly Fields[], more: Fields = {}): Fields => ({
  name,
  match: { prefix: `/${name}` },
  route: { cluster: "a", request_mirror_policies: policies, ...more },
});

const share = (numerator: number): Fields => ({ default_value: { numerator, denominator: "HUNDRED" } });

/** Copies are sent beside their requests, so they are given a moment. */
const told = (name: string): CaseRequest => ({
  name: `${name}, told`,
  path: "/told",
  headers: [
    ["x-answer-copies", "1"],
    ["x-answer-delay", "250"],
  ],
});

const copied = (name: string, request: Partial<CaseRequest> = {}): readonly CaseRequest[] => [
  { name, path: `/${name}`, ...request, headers: [["x-copy", "1"], ...(request.headers ?? [])] },
  told(name),
];

export const mirroringCases: readonly CaseGroup[] = [
  {
    name: "mirrors",
    host: { request_mirror_policies: [{ cluster: "b" }] },
    routes: [
      to("own", [{ cluster: "b" }], { prefix_rewrite: "/changed" }),
      to("bare", [{ cluster: "b", disable_shadow_host_suffix_append: true }]),
      to("twice", [{ cluster: "b" }, { cluster: "b" }]),
      to("never", [{ cluster: "b", runtime_fraction: share(0) }]),
      to("named", [{ cluster_header: "x-to" }]),
      to("nobody", [{ cluster: "refused" }, { cluster: "empty" }]),
      { name: "host", match: { prefix: "/host" }, route: { cluster: "a" } },
      {
        name: "told",
        match: { prefix: "/told" },
        route: { cluster: "b", request_mirror_policies: [{ cluster: "empty" }] },
      },
    ],
    requests: [
      ...copied("own"),
      ...copied("own", { name: "with a body", path: "/own", method: "POST", body: "payload" }),
      ...copied("own", { name: "with a port", path: "/own?a=b", host: "example.org:8080" }),
      ...copied("bare"),
      ...copied("twice"),
      ...copied("never"),
      ...copied("named", { headers: [["x-to", "b"]] }),
      ...copied("named", { name: "named nobody", path: "/named" }),
      ...copied("nobody"),
      ...copied("host"),
    ].map((request, at) => ({ ...request, name: `${at} ${request.name}` })),
  },
];
