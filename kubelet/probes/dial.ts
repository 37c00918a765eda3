/**
 * Connections of probes and hooks, from inside a pod's network namespace, and what Kubernetes' users read when one
 * fails.
 *
 * Made in the pod's own namespace to the pod's own address: over loopback, so that they pass by the interception rules
 * and neither need the sidecar nor count as its traffic.
 */
import type { Socket } from "node:net";
import type { Container } from "#api/core/pod.ts";
import type { IntOrString } from "#api/meta.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { connectTCP, openNamespace } from "#lib/linux.ts";

/** A container, and where it is reached. */
export interface Target {
  readonly container: Container;
  readonly podIP: string;
  readonly netnsPath: string;
}

/** A port number, looked up among the container's ports when it is a name. */
export function portOf(port: IntOrString, container: Container): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find(({ name }) => name === port);
  if (named !== undefined) return named.containerPort;
  throw new Error(`couldn't find port: ${JSON.stringify(port)} in container ${JSON.stringify(container.name)}`);
}

/** Starts a connection from inside the pod's namespace. */
export function dial(address: string, port: number, netnsPath: string): Socket {
  const namespace = openNamespace(netnsPath);
  try {
    return connectTCP({ namespace, address, port });
  } finally {
    namespace.close();
  }
}

const texts: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "connect: connection timed out",
};

/** Why a connection failed, as Go programs say it. */
export function dialFailure(error: unknown, address: string, port: number): string {
  const errno = errnoOf(error) ?? "";
  const text = Object.hasOwn(texts, errno) ? texts[errno] : undefined;
  if (text !== undefined) return `dial tcp ${address}:${port}: ${text}`;
  return errno === "ECONNRESET" ? "read: connection reset by peer" : messageOf(error);
}
