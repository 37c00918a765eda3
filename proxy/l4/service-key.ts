/** Which Service it is, and whether it is one of the proxy's. Pure. */
import type { ServiceResource } from "#api/wire/service.ts";

/** `namespace/name`. */
export function keyOf({ namespace, name }: ServiceResource): string {
  return `${namespace}/${name}`;
}

/** Whether the proxy has anything to do with the Service. */
export function isOurs({ headless, externalName, proxyName }: ServiceResource): boolean {
  return !headless && externalName === "" && proxyName === "";
}
