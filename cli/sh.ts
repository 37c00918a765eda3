/**
 * `wherry sh`: runs a command in the network of a node or a pod, with the cluster's DNS and the search list of the pod's
 * namespace, or of the one that is given. The exit status is the command's.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { pods } from "#api/core/pod.ts";
import { formatError } from "#api/schema/format.ts";
import { connect } from "./connect.ts";
import { CliError } from "./errors.ts";
import { resolvePod } from "./pods.ts";
import { enterCommand } from "./launcher/namespaces.ts";
import { withResolvConf } from "./launcher/resolv-conf.ts";
import { requireRunning } from "./launcher/state-dir.ts";

export interface ShOptions {
  readonly name: string;
  readonly namespace: string;
  readonly node?: string;
  readonly pod?: string;
}

export async function sh(command: readonly string[], options: ShOptions): Promise<void> {
  if (options.node !== undefined && options.pod !== undefined) {
    throw new CliError("Usage", "Cannot run in a node and in a pod: wanted one of --node, --pod");
  }
  const { record } = requireRunning(process.env, options.name);
  const { netns, namespace } =
    options.pod === undefined
      ? { netns: nodeNetns(options.node ?? "node1", record.nodes), namespace: options.namespace }
      : await podPlace(options);
  // It becomes part of a file.
  const problem = formatError("dnsLabel", namespace);
  if (problem !== undefined)
    throw new CliError("Usage", `Cannot use namespace ${JSON.stringify(namespace)}: ${problem}`);
  // Job control needs a terminal of the same pid namespace, so a shell of ours goes without.
  const shell = command.length > 0 ? command : [process.env["SHELL"] ?? "/bin/sh", "+m"];
  const [program = "", ...args] = enterCommand(record.initPid, netns, withResolvConf(namespace, shell));
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, WHERRY_CLUSTER: options.name } });
  // Signals from the terminal reach the command by itself; we wait for its end.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
  });
}

function nodeNetns(node: string, nodes: number): string {
  const index = Number(/^node([0-9]+)$/.exec(node)?.[1]);
  if (index >= 1 && index <= nodes) return node;
  throw new CliError("Failed", `Cannot enter node ${node}: no such node, wanted node1 to node${nodes}`);
}

interface PodPlace {
  readonly netns: string;
  readonly namespace: string;
}

async function podPlace({ name, namespace, pod = "" }: ShOptions): Promise<PodPlace> {
  const client = connect(name);
  try {
    const { metadata } = await client.get(pods, await resolvePod(client, pod, namespace));
    return { netns: `pod-${metadata.uid ?? ""}`, namespace: metadata.namespace ?? namespace };
  } finally {
    await client.close();
  }
}
