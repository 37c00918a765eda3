/** Where a node's kubelet answers: the node's InternalIP and the port that it says. */
import { type Node, nodes } from "#api/core/node.ts";
import { StatusError } from "#api/status.ts";
import type { Registry } from "./registry.ts";

export interface KubeletAddress {
  /** InternalIP of the node. */
  readonly address: string;
  readonly port: number;
}

const portDefault = 10_250;

/** The address in a Node; undefined when it says none. Pure. */
export function addressOf(node: Node): KubeletAddress | undefined {
  const address = node.status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
  if (address === undefined) return undefined;
  return { address, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? portDefault };
}

/** The kubelet of a node. Throws ServiceUnavailable when the node does not say where it is. */
export function kubeletOf(registry: Registry, nodeName: string): KubeletAddress {
  const node = registry.cache.get(nodes, { name: nodeName });
  const found = node === undefined ? undefined : addressOf(node);
  if (found !== undefined) return found;
  throw new StatusError("ServiceUnavailable", `Cannot reach the kubelet of ${nodeName}: the node has no InternalIP`);
}
