/**
 * Every code that users may see, of all components, with what it means and what helps.
 *
 *   messages.ts of each component ─▶ messageIndex ─▶ wherry explain CODE
 */
import { codecMessages } from "#api/xds/messages.ts";
import type { Message } from "#lib/messages.ts";
import { storeMessages } from "../../control/store/messages.ts";
import { dnsMessages } from "../../dns/messages.ts";
import { kubeletMessages, logMessages } from "../../kubelet/messages.ts";
import { proxyMessages } from "../../proxy/messages.ts";
import { sidecarMessages } from "../../sidecar/messages.ts";
import { CliError } from "../errors.ts";
import { cliMessages } from "../messages.ts";
import { findingMessages } from "./finding.ts";
import { responseFlagMessages } from "./response-flags.ts";
import { connectionMessages, nameMessages, statusMessages } from "./usual-failures.ts";

/** Component → its table. */
export const messageIndex: Readonly<Record<string, Readonly<Record<string, Message>>>> = {
  check: findingMessages,
  kubelet: kubeletMessages,
  "kubelet logs": logMessages,
  store: storeMessages,
  "node proxy": proxyMessages,
  DNS: dnsMessages,
  sidecar: sidecarMessages,
  "response flag": responseFlagMessages,
  status: statusMessages,
  name: nameMessages,
  connection: connectionMessages,
  xDS: codecMessages,
  "command line": cliMessages,
};

/** Reasons of events and of container states, which have a finding of their own name. */
const reasons: Readonly<Record<string, string>> = {
  crashloopbackoff: "CrashLoop",
  backoff: "CrashLoop",
  error: "CrashLoop",
  imagepullbackoff: "ErrImagePull",
  errimageneverpull: "ErrImagePull",
  oomkilled: "OutOfMemory",
  unhealthy: "NotReady",
  failedscheduling: "PodUnschedulable",
  hostportnotpublished: "HostPortTaken",
  nodenotready: "NodeNotReady",
};

/**
 * What `wherry explain CODE` prints. Upper and lower case are the same. Throws CliError Usage for an unknown code.
 */
export function formatCode(word: string, output: "text" | "json"): string {
  const wanted = (reasons[word.toLowerCase()] ?? word).toLowerCase();
  const found = Object.entries(messageIndex).flatMap(([component, table]) =>
    Object.entries(table)
      .filter(([code]) => code.toLowerCase() === wanted)
      .map(([code, message]) => ({ component, code, ...message })),
  );
  if (found.length === 0)
    throw new CliError("Usage", `Cannot explain ${word}: wanted METHOD URL, or a code (see: wherry check)`);
  if (output === "json") return `${JSON.stringify(found)}\n`;
  return found.map(({ component, code, sentence, hint }) => `${code} (${component}): ${sentence} (${hint})\n`).join("");
}
