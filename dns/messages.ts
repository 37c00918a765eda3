/** What the resolver's codes mean and what helps. */
import type { MessageTable } from "#lib/messages.ts";
import type { DNSCode } from "./errors.ts";

export const dnsMessages: MessageTable<DNSCode> = {
  CannotListen: {
    sentence: "An address or port of the resolver cannot be served",
    hint: "see who has it: ss -lunpt; or take another: wherry dns -dns.port PORT",
  },
  AlreadyListening: {
    sentence: "The resolver was told to listen twice, which is a fault of its own",
    hint: "report it with: wherry bug-report",
  },
  Corefile: {
    sentence: "The Corefile is wrong in the line that the message names, or asks for a plugin that is not there",
    hint: "correct the line; the plugins are listed in dns/README.md",
  },
  ZoneFile: {
    sentence: "A zone file is wrong in the line that the message names",
    hint: "correct the line; until then the zone that was read before is served",
  },
};
