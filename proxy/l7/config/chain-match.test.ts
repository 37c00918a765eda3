/** The choice of a filter chain, in Envoy's order of criteria. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChainFacts, findChain, readChainMatch } from "./chain-match.ts";
import { Reader } from "./reader.ts";

const chain = (name: string, match: object): { name: string; match: ReturnType<typeof readChainMatch> } => ({
  name,
  match: readChainMatch(new Reader(match, name)),
});

const facts: ChainFacts = {
  address: "10.0.0.1",
  port: 443,
  serverName: "a.b.org",
  transport: "tls",
  protocols: ["h2", "http/1.1"],
  sourceAddress: "192.0.2.7",
  sourcePort: 5000,
};

const range = (address_prefix: string, prefix_len: number): object => ({ address_prefix, prefix_len });

test("findChain() keeps the most specific of each criterion, in Envoy's order, and does not go back", () => {
  const rows: readonly (readonly [string, readonly object[], Partial<ChainFacts>, string | undefined])[] = [
    ["port before none", [{}, { destination_port: 443 }], {}, "1"],
    ["no port left", [{ destination_port: 80 }], {}, undefined],
    [
      "longest prefix",
      [{ prefix_ranges: [range("10.0.0.0", 8)] }, { prefix_ranges: [range("10.0.0.0", 24)] }],
      {},
      "1",
    ],
    ["exact name", [{ server_names: ["*.b.org"] }, { server_names: ["a.b.org"] }], {}, "1"],
    ["longest wildcard", [{ server_names: ["*.org"] }, { server_names: ["*.b.org"] }], {}, "1"],
    ["no name", [{ server_names: ["x.org"] }, {}], {}, "1"],
    ["without SNI", [{ server_names: ["a.b.org"] }, {}], { serverName: "" }, "1"],
    ["transport", [{ transport_protocol: "raw_buffer" }, { transport_protocol: "tls" }], {}, "1"],
    ["ALPN", [{ application_protocols: ["h3"] }, { application_protocols: ["http/1.1"] }], {}, "1"],
    ["port wins over name", [{ server_names: ["a.b.org"] }, { destination_port: 443 }], {}, "1"],
    ["not back", [{ destination_port: 443, server_names: ["x.org"] }, {}], {}, undefined],
    ["source", [{ source_prefix_ranges: [range("192.0.2.0", 24)] }, {}], {}, "0"],
    ["source port", [{ source_ports: [1] }, { source_ports: [5000] }], {}, "1"],
    ["external", [{ source_type: "SAME_IP_OR_LOOPBACK" }, { source_type: "EXTERNAL" }], {}, "1"],
    ["local", [{ source_type: "SAME_IP_OR_LOOPBACK" }, {}], { sourceAddress: "127.0.0.1" }, "0"],
  ];
  for (const [name, matches, more, wanted] of rows) {
    const chains = matches.map((match, at) => chain(String(at), match));
    assert.equal(findChain(chains, { ...facts, ...more })?.name, wanted, name);
  }
});

test("readChainMatch() refuses names and ranges that are none", () => {
  assert.throws(() => chain("c", { server_names: ["a*.org"] }), /c\.server_names/);
  assert.throws(() => chain("c", { prefix_ranges: [range("10.0.0.0", 33)] }), /prefix_ranges\[0\]\.prefix_len/);
  assert.throws(() => chain("c", { address_suffix: "1" }), /address_suffix/);
});
