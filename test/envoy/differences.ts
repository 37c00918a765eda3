/**
 * Cases in which Wherry answers otherwise than Envoy, and why.
 *
 * A case that does not differ any more must leave the list.
 */
export const differences: Readonly<Record<string, string>> = {
  "own-answers-seen/mapped, gRPC":
    "%RESPONSE_CODE% in a filter's header of an answer to gRPC is what HTTP would get; here it is 200",
  "own-answers-seen/refused, gRPC":
    "%RESPONSE_CODE% in a filter's header of an answer to gRPC is what HTTP would get; here it is 200",
  "own-answers-seen/fault, gRPC":
    "%RESPONSE_CODE% in a filter's header of an answer to gRPC is what HTTP would get; here it is 200",
  "escaped-reject//a%2Fb": "the answer has flag DPE, so that x-wherry-error says why it is refused",
  "escaped-reject//a%2fb%5Cc?d%2Fe": "the answer has flag DPE, so that x-wherry-error says why it is refused",
  "health-check/check": "Envoy names its own cluster in a header",
  "upgrades-named/refused": "the answer has a sentence that says why it is refused",
  "upgrades-unnamed/refused": "the answer has a sentence that says why it is refused",
  "retries//refused 200": "one flag is told, the one that explains the answer; Envoy tells URX beside it",
  "hedges/route timeout": "one flag is told, the one that explains the answer; Envoy tells URX beside it",
  "hedges/without hedging, both late": "one flag is told, the one that explains the answer; Envoy tells URX beside it",
  "hedges/silent": "one flag is told, the one that explains the answer; Envoy tells URX beside it",
  "faults/own": "one flag is told, the one that explains the answer; Envoy tells DI beside it",
  "gzip/accepts on two lines": "Envoy joins the lines of a header; here they go on as they came",
  "inside: remote address false, 0 hops/inside, outside by lines":
    "Envoy joins the lines of a header; here they go on as they came",
  "inside: remote address false, 1 hops/inside, outside by lines":
    "Envoy joins the lines of a header; here they go on as they came",
  "inside: remote address false, 2 hops/inside, outside by lines":
    "Envoy joins the lines of a header; here they go on as they came",
  "origin: x-forwarded-for/for two lines": "Envoy joins the lines of a header; here they go on as they came",
  "origin: x-forwarded-for, a hop in front/for two lines":
    "Envoy joins the lines of a header; here they go on as they came",
  "authority/Example.ORG /match":
    "matchers see the host in lower case, since names that differ in capitals are one (RFC 9110 section 4.2.3)",
  "gzip/answer 206": "the ranges of a part count bytes that are not compressed, so that it is passed on as it is",
  "session-cookies/who does not answer": "an answer of the proxy's own makes no session with who did not answer",
  "session-cookies/who does not answer, again":
    "one flag is told, the one that explains the answer; Envoy tells URX beside it",
  "connect/off": "the answer has a sentence that says why it is refused",
  "connect/disabled": "the answer has a sentence that says why it is refused",
  "connect-managed/off": "the answer has a sentence that says why it is refused",
  "connect/forward": "a tunnel that its upstream ends has ended well; Envoy tells UC",
  "connect/renamed": "a tunnel that its upstream ends has ended well; Envoy tells UC",
  "connect/changed": "a tunnel that its upstream ends has ended well; Envoy tells UC",
  "connect/forwarded, 204": "a tunnel that its upstream ends has ended well; Envoy tells UC",
  "connect-managed/plain": "a tunnel that its upstream ends has ended well; Envoy tells UC",
  "timeouts//stream": "the answer has flag DT and says its reason in x-wherry-error; Envoy has no flag for it",
};
