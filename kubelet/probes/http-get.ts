/**
 * An HTTP request of a probe or a hook to a container. Certificates are not verified: the kubelet cannot know whom to
 * trust.
 */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as connectTLS } from "node:tls";
import type { HTTPGetAction } from "#api/core/probe.ts";
import type { Clock } from "#lib/clock.ts";
import { errnoOf } from "#lib/errors.ts";
import { type Target, dial, dialFailure, portOf } from "./dial.ts";

export type HTTPAnswer = { readonly status: number } | { readonly failure: string };

/** The answer's status, or why there was none, as the reference kubelet says it. The body is not read. */
export function httpGet(
  get: HTTPGetAction,
  target: Target,
  { timeoutMs, clock }: { timeoutMs: number; clock: Clock },
): Promise<HTTPAnswer> {
  const port = portOf(get.port, target.container);
  const host = get.host ?? target.podIP;
  const secure = get.scheme === "HTTPS";
  const path = (get.path ?? "/").startsWith("/") ? (get.path ?? "/") : `/${get.path}`;
  const url = `${secure ? "https" : "http"}://${host}:${port}${path}`;
  const socket = dial(host, port, target.netnsPath);
  return new Promise((resolve) => {
    const send = secure ? httpsRequest : httpRequest;
    // No agent, not even "none": one would make a connection of its own, from the node's network.
    const request = send({
      createConnection: () => (secure ? connectTLS({ socket, rejectUnauthorized: false }) : socket),
      host,
      port,
      path,
      headers: headersOf(get, `${host}:${port}`),
    });
    const done = (answer: HTTPAnswer): void => {
      timer.cancel();
      request.destroy();
      socket.destroy();
      resolve(answer);
    };
    const fail = (why: string): void => done({ failure: `Get "${url}": ${why}` });
    const timer = clock.after(timeoutMs, () =>
      fail("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
    );
    const failed = (error: Error): void => {
      // Closed before an answer: Go's word for it is EOF.
      const isEnd = errnoOf(error) === "ECONNRESET" && error.message === "socket hang up";
      fail(isEnd ? "EOF" : dialFailure(error, host, port));
    };
    // A refused connection can fail before the request has taken the socket over.
    socket.on("error", failed);
    request.on("error", failed);
    request.once("response", ({ statusCode = 0 }) => done({ status: statusCode }));
    request.end();
  });
}

/** The headers asked for win over the kubelet's own. An empty value leaves a header out. */
function headersOf({ httpHeaders = [] }: HTTPGetAction, host: string): Record<string, string> {
  const headers = new Map([
    ["host", host],
    ["user-agent", "kube-probe/1.35"],
    ["accept", "*/*"],
    ["connection", "close"],
  ]);
  for (const { name, value } of httpHeaders) headers.set(name.toLowerCase(), value);
  return Object.fromEntries([...headers].filter(([, value]) => value !== "" && value !== undefined));
}
