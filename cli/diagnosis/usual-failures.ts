/**
 * What people see first, and search for: statuses that the mesh answers with, rcodes of DNS, errors of connections.
 *
 *   wherry explain 503 ─▶ message-index.ts
 *
 * More than one cause can be behind each; the response flag, in x-wherry-error and access logs, says which.
 */
import type { Message } from "#lib/messages.ts";

const whichFlag = "see the flag in that header, or ask: wherry explain METHOD URL --from POD";

/** By status. */
export const statusMessages: Readonly<Record<string, Message>> = {
  404: byMesh("no route matches host and path (NR)"),
  429: byMesh("a rate limit refused the request (RL)"),
  500: byMesh("the route leads to a backend that does not exist", "see BackendMissing: wherry check"),
  502: byMesh("the endpoint broke HTTP (UPE)"),
  503: byMesh("no endpoint is ready (UH), none was reached (UF), or it closed before its answer was whole (UC)"),
  504: byMesh("the answer did not come in time (UT)"),
};

function byMesh(why: string, hint: string = whichFlag): Message {
  return { sentence: `From the mesh, if the answer has x-wherry-error: ${why}; else from the program itself`, hint };
}

const askName =
  "see the name in full: NAME.NAMESPACE.svc.cluster.local; ask: wherry explain GET http://NAME/ --from POD";

/** By rcode, and by the error that programs make of it. */
export const nameMessages: Readonly<Record<string, Message>> = {
  NXDOMAIN: { sentence: "The name does not exist, with none of the search list's domains", hint: askName },
  ENOTFOUND: { sentence: "The name does not exist, with none of the search list's domains", hint: askName },
  NODATA: {
    sentence:
      "The name exists without an address of the type: there is no IPv6 here, and a headless Service may have no pod",
    hint: askName,
  },
  SERVFAIL: {
    sentence: "The resolver could not ask further: for names outside, its upstream does not answer",
    hint: "run: wherry check",
  },
  EAI_AGAIN: {
    sentence: "The resolver did not answer: a NetworkPolicy may keep the pod from it, or its upstream is gone",
    hint: "see DNSDeniedByPolicy and UpstreamBroken: wherry check",
  },
  ETIMEOUT: {
    sentence: "The resolver did not answer: a NetworkPolicy may keep the pod from it, or its upstream is gone",
    hint: "see DNSDeniedByPolicy and UpstreamBroken: wherry check",
  },
};

const askConnection = "ask who decides: wherry explain GET http://NAME:PORT/ --from POD";

/** By errno. */
export const connectionMessages: Readonly<Record<string, Message>> = {
  ECONNREFUSED: {
    sentence: "Nothing listens there, or the Service has no ready endpoint, or not that port",
    hint: askConnection,
  },
  ECONNRESET: {
    sentence: "The other side closed at once: the program ended, or the address may not be reached from the cluster",
    hint: askConnection,
  },
  ETIMEDOUT: {
    sentence: "Packets were dropped: by a NetworkPolicy, by source ranges, or by policy Local without an endpoint",
    hint: askConnection,
  },
};
