/**
 * Node restriction: a kubelet makes its own Node and its own Lease, and no other's. On its own Node it may neither lift
 * taints nor the cordon, nor write labels that people rely on to keep workloads apart.
 *
 * Whose Node a later write is about is a matter of the name in the path, which authz/node-rules.ts sees.
 * Follows: k8s.io/kubernetes plugin/pkg/admission/noderestriction.
 */
import type { Node } from "#api/core/node.ts";
import type { KubeObject } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { nodeNameOf } from "../authz/node-rules.ts";
import { forbidden } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";

/** Labels with this domain are for people alone. */
const restrictedDomain = "node-restriction.kubernetes.io";

export const nodeRestriction: AdmissionPlugin = {
  name: "NodeRestriction",
  resource: undefined,
  onUpdate: true,
  admit({ kind, object, previous, user }) {
    const nodeName = nodeNameOf(user);
    if (nodeName === undefined || (kind.kind !== "Node" && kind.kind !== "Lease")) return object;
    const { name } = object.metadata;
    if (name !== nodeName)
      throw forbidden(
        kind,
        name,
        kind.kind === "Node"
          ? `node ${JSON.stringify(nodeName)} is not allowed to modify node ${JSON.stringify(name)}`
          : "can only access node lease with the same name as the requesting node",
      );
    const refusal = kind.kind === "Node" ? changeRefused(object, previous) : undefined;
    if (refusal !== undefined) throw forbidden(kind, name, `is not allowed to modify ${refusal}`);
    return object;
  },
};

/** What a node may not change of itself; undefined when it does not. */
function changeRefused(node: Node, previous: Node | undefined): string | undefined {
  const labels = restrictedLabels(node, previous);
  if (labels.length > 0) return `labels: ${labels.join(", ")}`;
  // A new Node may come with taints: that is how a node keeps pods away until it is ready.
  if (previous === undefined) return undefined;
  if (!isEqual(node.spec?.taints ?? [], previous.spec?.taints ?? [])) return "taints";
  if ((node.spec?.unschedulable ?? false) !== (previous.spec?.unschedulable ?? false)) return "spec.unschedulable";
  return undefined;
}

function restrictedLabels(node: KubeObject, previous: KubeObject | undefined): readonly string[] {
  const [now, before] = [node.metadata.labels ?? {}, previous?.metadata.labels ?? {}];
  return Object.keys({ ...now, ...before })
    .filter((key) => now[key] !== before[key] && isRestricted(key))
    .sort();
}

function isRestricted(key: string): boolean {
  const domain = key.includes("/") ? key.slice(0, key.indexOf("/")) : "";
  return domain === restrictedDomain || domain.endsWith(`.${restrictedDomain}`);
}
