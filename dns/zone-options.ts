/** How a cluster's zone is served: what the `kubernetes` plugin's options become. */
import type { RecordOptions } from "./records.ts";

/** Whether `a-b-c-d.<namespace>.pod` names exist: never, for every address, or for pods that there are. */
export type PodsMode = "disabled" | "insecure" | "verified";

export interface ZoneOptions extends Partial<Omit<RecordOptions, "domain">> {
  /** Without the final dot. Default `cluster.local`. */
  readonly domain?: string;
  /** Keys of the reverse zones that are served, too. */
  readonly reverseZones?: readonly string[];
  /** Addresses of the DNS Service, for `ns.dns.<domain>`. Default 10.96.0.10. */
  readonly dnsVIPs?: readonly string[];
  /** Namespaces that are served. Default: all. */
  readonly namespaces?: readonly string[];
  readonly pods?: PodsMode;
  /** Whether a namespace exists; undefined: it does while a Service of it has a name. */
  readonly hasNamespace?: (namespace: string) => boolean | undefined;
  readonly namespaceOfPod?: (address: string) => string | undefined;
}
