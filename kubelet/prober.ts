/**
 * Performs probes: HTTP and TCP from inside the pod's network namespace, commands inside the container.
 *
 * The connections are made in the pod's own namespace to the pod's own address: over loopback, so that they pass by the
 * interception rules and neither need the sidecar nor count as its traffic.
 */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Socket } from "node:net";
import { connect as connectTLS } from "node:tls";
import type { Container, Probe } from "#api/core/pod.ts";
import type { IntOrString } from "#api/meta.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { connectTCP, openNamespace } from "#lib/linux.ts";
import type { RunningContainer, Runtime } from "./runtime.ts";

export interface ProbeResult {
  readonly ok: boolean;
  /** What was seen; for people. */
  readonly detail: string;
}

export interface ProbeTarget {
  readonly container: Container;
  readonly running: RunningContainer;
  readonly podIP: string;
  readonly netnsPath: string;
}

export type Prober = (probe: Probe, target: ProbeTarget, timeoutMs: number) => Promise<ProbeResult>;

export function createProber(runtime: Runtime, clock: Clock): Prober {
  return async (probe, target, timeoutMs) => {
    try {
      if (probe.exec !== undefined) return await probeExec(runtime, probe.exec.command ?? [], { target, timeoutMs });
      if (probe.httpGet !== undefined) return await probeHttp(probe.httpGet, target, { timeoutMs, clock });
      if (probe.tcpSocket !== undefined) return await probeTcp(probe.tcpSocket.port, target, { timeoutMs, clock });
      return { ok: false, detail: "Cannot probe: wanted one of httpGet, tcpSocket, exec" };
    } catch (error) {
      return { ok: false, detail: messageOf(error) };
    }
  };
}

/** A port number, looked up among the container's ports when it is a name. */
export function portOf(port: IntOrString, container: Container): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find(({ name }) => name === port);
  if (named === undefined) throw new Error(`Cannot probe port "${port}": the container has no port of that name`);
  return named.containerPort;
}

async function probeExec(
  runtime: Runtime,
  command: readonly string[],
  { target, timeoutMs }: { target: ProbeTarget; timeoutMs: number },
): Promise<ProbeResult> {
  const { exitCode, output } = await runtime.exec(target.running, command, timeoutMs);
  if (exitCode === undefined) return { ok: false, detail: `command timed out after ${timeoutMs} ms` };
  return { ok: exitCode === 0, detail: `command exited with ${exitCode}: ${output.trim().slice(0, 200)}` };
}

/** Starts a connection from inside the pod's namespace. */
function dial(address: string, port: number, netnsPath: string): Socket {
  const namespace = openNamespace(netnsPath);
  try {
    return connectTCP({ namespace, address, port });
  } finally {
    namespace.close();
  }
}

interface Limits {
  readonly timeoutMs: number;
  readonly clock: Clock;
}

function probeTcp(port: IntOrString, target: ProbeTarget, { timeoutMs, clock }: Limits): Promise<ProbeResult> {
  const number = portOf(port, target.container);
  const socket = dial(target.podIP, number, target.netnsPath);
  return new Promise((resolve) => {
    const done = (result: ProbeResult): void => {
      timer.cancel();
      socket.destroy();
      resolve(result);
    };
    const timer = clock.after(timeoutMs, () =>
      done({ ok: false, detail: `port ${number}: no answer in ${timeoutMs} ms` }),
    );
    socket.once("connect", () => done({ ok: true, detail: `port ${number} open` }));
    socket.once("error", (error) => done({ ok: false, detail: `port ${number}: ${error.message}` }));
  });
}

function probeHttp(
  get: NonNullable<Probe["httpGet"]>,
  target: ProbeTarget,
  { timeoutMs, clock }: Limits,
): Promise<ProbeResult> {
  const port = portOf(get.port, target.container);
  const host = get.host ?? target.podIP;
  const path = get.path ?? "/";
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  const secure = get.scheme === "HTTPS";
  const socket = dial(host, port, target.netnsPath);
  return new Promise((resolve) => {
    const send = secure ? httpsRequest : httpRequest;
    const request = send({
      // The kubelet does not verify a pod's certificate, for it cannot know whom to trust.
      createConnection: () => (secure ? connectTLS({ socket, rejectUnauthorized: false }) : socket),
      host,
      port,
      path,
      agent: false,
      headers: {
        host: `${host}:${port}`,
        "user-agent": "kube-probe/1.35",
        accept: "*/*",
        connection: "close",
        ...headers,
      },
    });
    const done = (result: ProbeResult): void => {
      timer.cancel();
      request.destroy();
      socket.destroy();
      resolve(result);
    };
    const timer = clock.after(timeoutMs, () =>
      done({ ok: false, detail: `GET ${path}: no answer in ${timeoutMs} ms` }),
    );
    const failed = (error: Error): void => done({ ok: false, detail: `GET ${path}: ${error.message}` });
    // A refused connection can fail before the request has taken the socket over.
    socket.on("error", failed);
    request.on("error", failed);
    request.once("response", ({ statusCode = 0 }) =>
      done({ ok: statusCode >= 200 && statusCode < 400, detail: `GET ${path}: status ${statusCode}` }),
    );
    request.end();
  });
}
