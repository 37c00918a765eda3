/**
 * Logs of a pod's container, fetched from the kubelet of its node.
 *
 *   GET pods/<name>/log?container=&follow=&tailLines=… ─▶ chooseContainer() ─▶ OpenLog ─▶ bytes
 */
import { nodes } from "#api/core/node.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import type { ObjectKey } from "#api/meta.ts";
import { StatusError } from "#api/status.ts";
import { mustGet, type Registry } from "../registry.ts";

export interface LogTarget {
  /** InternalIP of the node. */
  readonly address: string;
  /** Port of the kubelet. */
  readonly port: number;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** follow, tailLines, …: passed on as they are. */
  readonly query: URLSearchParams;
}

/** Opens a container's log. Throws StatusError for what the kubelet refuses. The bytes end when `signal` aborts. */
export type OpenLog = (target: LogTarget, signal: AbortSignal) => Promise<AsyncIterable<Uint8Array>>;

/** Parameters that the kubelet knows. */
const passed = ["follow", "tailLines", "limitBytes", "sinceSeconds", "sinceTime", "timestamps", "previous"];

const kubeletPort = 10_250;

/** Where a pod's log is. Throws BadRequest when the container is not clear or the pod is on no node. */
export function logTarget(registry: Registry, key: ObjectKey, query: URLSearchParams): LogTarget {
  const pod = mustGet(registry, pods, key) as Pod;
  const container = chooseContainer(pod, query.get("container") ?? "");
  const { nodeName = "" } = pod.spec;
  if (nodeName === "") throw new StatusError("BadRequest", `pod ${key.name} does not have a host assigned`);
  const node = registry.cache.get(nodes, { name: nodeName });
  const address = node?.status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
  if (address === undefined)
    throw new StatusError("ServiceUnavailable", `Cannot reach the kubelet of ${nodeName}: the node has no InternalIP`);
  const port = node?.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? kubeletPort;
  const rest = new URLSearchParams();
  for (const name of passed) {
    const value = query.get(name);
    if (value !== null) rest.set(name, value);
  }
  return { address, port, namespace: key.namespace ?? "", pod: key.name, container, query: rest };
}

/** The container asked for, or the only one. Pure. */
export function chooseContainer(pod: Pod, asked: string): string {
  const names = pod.spec.containers.map(({ name }) => name);
  const [only] = names;
  if (asked === "" && names.length === 1 && only !== undefined) return only;
  if (asked === "")
    throw new StatusError(
      "BadRequest",
      `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${names.join(" ")}]`,
    );
  if (!names.includes(asked))
    throw new StatusError("BadRequest", `container ${asked} is not valid for pod ${pod.metadata.name}`);
  return asked;
}
