/** What the node proxy's codes mean and what helps. */
import type { MessageTable } from "#lib/messages.ts";
import type { ProxyCode } from "./errors.ts";

export const proxyMessages: MessageTable<ProxyCode> = {
  InvalidConfig: { sentence: "A fact of the node is malformed", hint: "correct the option that the message names" },
  CommandMissing: {
    sentence: "nft or conntrack is not installed",
    hint: "run as root: apt-get install -y nftables conntrack",
  },
  CommandFailed: {
    sentence: "The kernel or the program refused the rules, or did not end in time",
    hint: "see the node agent's log; the rules before are kept and it is tried again",
  },
};
