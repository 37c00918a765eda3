/** What the response flags of access logs and metrics mean, and what helps; the names are Envoy's. */
import type { MessageTable } from "#lib/messages.ts";
import type { ResponseFlag } from "#proxy/l7/types.ts";

export const responseFlagMessages: MessageTable<Exclude<ResponseFlag, "-">> = {
  UH: { sentence: "No endpoint of the cluster is ready", hint: "see its pods: wherry get pods" },
  UF: {
    sentence: "No connection to the endpoint came about",
    hint: "see whether the program listens: wherry logs POD",
  },
  UC: { sentence: "The endpoint closed the connection before its answer was whole", hint: "see why: wherry logs POD" },
  UR: {
    sentence: "The endpoint reset the request's stream before its answer was whole",
    hint: "see why: wherry logs POD",
  },
  UO: {
    sentence: "The cluster has all the connections that it may have",
    hint: "add replicas, or send less at a time",
  },
  UT: {
    sentence: "The answer did not come within the route's timeout",
    hint: "raise timeouts.request of the HTTPRoute",
  },
  URX: {
    sentence: "Every try failed, and no more are allowed",
    hint: "see why its endpoints answer so: wherry logs POD",
  },
  DI: { sentence: "The request was delayed on purpose", hint: "see the fault filter of the route or the listener" },
  FI: { sentence: "The request was failed on purpose", hint: "see the fault filter of the route or the listener" },
  RL: {
    sentence: "The rate limit of this proxy refused the request",
    hint: "send less, or raise the limit's token bucket",
  },
  RLSE: { sentence: "The rate limit could not be asked", hint: "see whether its service or Redis answers" },
  NR: { sentence: "No route matches host and path", hint: "see the routes: wherry get httproute -A" },
  NC: { sentence: "The route leads to a cluster that does not exist", hint: "create the Service that it names" },
  DC: { sentence: "The downstream went away before the answer", hint: "nothing is wrong here: see the caller" },
  SI: { sentence: "The stream was idle for too long", hint: "send something within the idle timeout" },
  DT: {
    sentence: "The stream took longer than its route allows",
    hint: "raise max_stream_duration of the route or the listener",
  },
  DPE: { sentence: "The downstream broke HTTP", hint: "see x-wherry-error of the answer, and correct the caller" },
  UPE: { sentence: "The endpoint broke HTTP", hint: "see x-wherry-error of the answer, and correct the program" },
};
