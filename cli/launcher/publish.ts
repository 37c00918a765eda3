/**
 * Published ports: listening sockets on the host that processes inside accept on.
 *
 *   -p [ADDR:]PORT=TARGET ─▶ parsePublished ─▶ bindPublished (in the host's network namespace) ─▶ descriptor stores
 */
import { LinuxError, listenTCP, localAddress } from "#lib/linux.ts";
import { messageOf } from "#lib/errors.ts";
import { CliError } from "../errors.ts";
import type { PublishedPort } from "../ipc.ts";

const grammar = "wanted [ADDR:]PORT=svc/[NS/]NAME:PORT or [ADDR:]PORT=gateway/[NS/]NAME:PORT";

/** One `-p` argument. Throws CliError Usage with the argument and what was wanted. */
export function parsePublished(text: string): PublishedPort {
  const match = /^(?:([0-9.]+):)?([0-9]+)=(svc|gateway)\/(?:([^/:]+)\/)?([^/:]+):([0-9]+)$/.exec(text);
  if (match === null) throw new CliError("Usage", `Cannot publish ${JSON.stringify(text)}: ${grammar}`);
  const [, address = "127.0.0.1", hostPort = "", kind, namespace = "default", name = "", port = ""] = match;
  const outside = [hostPort, port].find((number) => Number(number) > 65_535) ?? (Number(port) === 0 ? port : undefined);
  if (outside !== undefined) {
    const wanted = "wanted 1 to 65535, or 0 on this host for one that the system chooses";
    throw new CliError("Usage", `Cannot publish ${JSON.stringify(text)}: port ${outside}, ${wanted}`);
  }
  if (!/^(\d{1,3}\.){3}\d{1,3}$/.test(address) || address.split(".").some((part) => Number(part) > 255)) {
    throw new CliError("Usage", `Cannot publish ${JSON.stringify(text)}: address ${address}, wanted an IPv4 address`);
  }
  return {
    hostAddress: address,
    hostPort: Number(hostPort),
    kind: kind as "svc" | "gateway",
    namespace,
    name,
    port: Number(port),
  };
}

/** `gateway/default/web:80` */
export function formatTarget({ kind, namespace, name, port }: Omit<PublishedPort, "hostAddress" | "hostPort">): string {
  return `${kind}/${namespace}/${name}:${port}`;
}

/** Binds a listening socket on the host. Throws CliError Failed that names the port, and how to take another. */
export function bindHost(address: string, port: number, target: string): number {
  try {
    return listenTCP({ address, port });
  } catch (error) {
    const taken = error instanceof LinuxError && error.code === "EADDRINUSE";
    const hint = `${taken ? "another program listens there; " : ""}take another port: -p 18080=${target}`;
    throw new CliError("Failed", `Cannot publish ${address}:${port}: ${messageOf(error)} (${hint})`);
  }
}

/** `address:port` of a listening descriptor. */
export function formatListening(fd: number): string {
  const { address, port } = localAddress(fd);
  return `${address}:${port}`;
}

/** The name under which a published socket is handed to sidecar hosts. */
export function publishedSocketName(hostPort: number): string {
  return `published/${hostPort}`;
}
