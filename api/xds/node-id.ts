/**
 * Who an xDS client is: the `node.id` of its first request, as Istio writes them.
 *
 *   sidecar, proxy, dns ─▶ toNode() ─▶ ADS ─▶ parseNode() ─▶ control/push chooses what it may see
 *
 *   sidecar~10.244.0.5~reviews-v1-abc.default~default.svc.cluster.local
 *   router~10.244.0.9~gw-wherry-abc.default~default.svc.cluster.local       metadata GATEWAY: "default/gw"
 *   node~node1
 */
import type { Node } from "./discovery.ts";
import { CodecError } from "./errors.ts";

export type NodeId =
  | { readonly kind: "sidecar"; readonly podIP: string; readonly namespace: string; readonly podName: string }
  | {
      readonly kind: "router";
      readonly podIP: string;
      readonly namespace: string;
      readonly podName: string;
      /** "namespace/name" of the Gateway that it serves. */
      readonly gateway: string;
    }
  /** The node proxy, DNS and sidecar host of a node: they see wherry.v1 resources. */
  | { readonly kind: "node"; readonly nodeName: string };

/** The node that a client sends. */
export function toNode(id: NodeId): Node {
  if (id.kind === "node") return { id: `node~${id.nodeName}`, cluster: "wherry" };
  const { kind, podIP, namespace, podName } = id;
  return {
    id: `${kind}~${podIP}~${podName}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: `${podName}.${namespace}`,
    ...(kind === "router" ? { metadata: { GATEWAY: id.gateway } } : {}),
  };
}

/** The inverse of `toNode`. Throws CodecError bad_node. */
export function parseNode(node: Node): NodeId {
  const parts = node.id.split("~");
  const [kind, address = "", pod = ""] = parts;
  if (kind === "node" && parts.length === 2 && address !== "") return { kind, nodeName: address };
  // A namespace has no dots, a pod's name may.
  const dot = pod.lastIndexOf(".");
  if ((kind !== "sidecar" && kind !== "router") || parts.length !== 4 || address === "" || dot < 1)
    throw badNode(node.id);
  const place = { podIP: address, podName: pod.slice(0, dot), namespace: pod.slice(dot + 1) };
  if (kind === "sidecar") return { kind, ...place };
  const gateway = node.metadata?.["GATEWAY"];
  if (typeof gateway !== "string" || !gateway.includes("/"))
    throw new CodecError("bad_node", `Cannot serve node ${node.id}: no metadata GATEWAY, wanted "namespace/name"`);
  return { kind, ...place, gateway };
}

function badNode(id: string): CodecError {
  return new CodecError(
    "bad_node",
    `Cannot serve node ${JSON.stringify(id.slice(0, 200))}: wanted sidecar~IP~POD.NS~DOMAIN, router~IP~POD.NS~DOMAIN or node~NAME`,
  );
}
