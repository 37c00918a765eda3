/** The names of xDS resources, as Istio spells them, so that its dashboards and users read ours. */

/** `reviews.default.svc.cluster.local` */
export function hostOf(namespace: string, name: string): string {
  return `${name}.${namespace}.svc.cluster.local`;
}

/** `outbound|9080||reviews.default.svc.cluster.local` */
export function outboundClusterName(host: string, port: number): string {
  return `outbound|${port}||${host}`;
}

/** `inbound|9080||` */
export function inboundClusterName(port: number): string {
  return `inbound|${port}||`;
}

/** `reviews.default.svc.cluster.local:9080` */
export function outboundRouteName(host: string, port: number): string {
  return `${host}:${port}`;
}

/** `10.96.12.3_9080` */
export function listenerName(address: string, port: number): string {
  return `${address}_${port}`;
}

/** `http.8080`: the routes of all a Gateway's listeners on one port. */
export function gatewayRouteName(port: number): string {
  return `http.${port}`;
}

/** Connections to addresses that are no Service of ours. */
export const passthroughCluster = "PassthroughCluster";
/** Connections to ports of the pod that no Service and no container declares. */
export const inboundPassthroughCluster = "InboundPassthroughCluster";
/** Named by the share of a weighted route whose backend does not exist; there is never a cluster of that name. */
export const missingCluster = "MissingBackend";
