/**
 * Node restriction: a kubelet makes its own Node and its own Lease, and no other's. What it changes later is a matter
 * of the name in the path, which authz/node-rules.ts sees.
 *
 * Follows: k8s.io/kubernetes plugin/pkg/admission/noderestriction.
 */
import { nodeNameOf } from "../authz/node-rules.ts";
import { forbidden } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";

export const nodeRestriction: AdmissionPlugin = {
  name: "NodeRestriction",
  resource: undefined,
  onUpdate: false,
  admit({ kind, object, user }) {
    const nodeName = user === undefined ? undefined : nodeNameOf(user);
    const { name } = object.metadata;
    if (nodeName === undefined || (kind.kind !== "Node" && kind.kind !== "Lease") || name === nodeName) return object;
    throw forbidden(
      kind,
      name,
      kind.kind === "Node"
        ? `node ${JSON.stringify(nodeName)} is not allowed to modify node ${JSON.stringify(name)}`
        : "can only access node lease with the same name as the requesting node",
    );
  },
};
