/**
 * The names that one Service has, by the Kubernetes DNS specification 1.1. Pure.
 *
 *   ServiceResource ─▶ planRecords ─▶ { name → Node } ─▶ zone.ts
 *
 * Names are keys (wire/name.ts). A name that has records of no matching type is NODATA; a name that is not here is
 * NXDOMAIN.
 * Follows: kubernetes/dns specification.md §2.3–2.5; where it is silent, CoreDNS' kubernetes plugin.
 */
import type { ServiceResource, ServiceResourceEndpoint } from "#api/wire/service.ts";
import { toBytes, toDashed, toReverseName } from "./address.ts";
import { types } from "./wire/constants.ts";
import { addressRecord, nameRecord, type SRVData, srvRecord, txtRecord } from "./wire/data.ts";
import { keyOfOwn, toKey } from "./wire/name.ts";
import type { RR } from "./wire/record.ts";

/** All records of one name. */
export interface Node {
  readonly records: readonly RR[];
  /** Addresses of SRV targets, for the additional section. */
  readonly additional: readonly RR[];
  /** Set when the name is an alias; it has nothing else then. */
  readonly cname: string | undefined;
}

export interface ServiceRecords {
  readonly names: ReadonlyMap<string, Node>;
  /** PTR name → target: several Services may own one address. */
  readonly pointers: readonly (readonly [string, string])[];
}

export interface RecordOptions {
  /** The cluster domain, without the final dot: `cluster.local`. */
  readonly domain: string;
  /** Of every record, in seconds. */
  readonly ttl: number;
  /** Endpoints without a host name are named after their pod. Default: after their address. */
  readonly endpointPodNames?: boolean;
  /** A Service with clusterIPs and without ready endpoints has no name. Default false. */
  readonly ignoreEmptyService?: boolean;
  /** Endpoints are not known: no names for them, none for headless Services. Default false. */
  readonly noEndpoints?: boolean;
}

const none: ServiceRecords = { names: new Map(), pointers: [] };

/** A record before it has an owner. */
type RData = { readonly address: Uint8Array } | SRVData;

/** The records of a Service. A Service whose names are no domain names has none. */
export function planRecords(service: ServiceResource, options: RecordOptions): ServiceRecords {
  const text = `${service.name}.${service.namespace}.svc.${options.domain}`;
  const name = toKey(text);
  if (name === undefined || !isLabel(service.name) || !isLabel(service.namespace)) return none;
  if (service.externalName !== "") return planExternal(service, name, options);
  const draft = new Draft(options.ttl);
  const endpoints = options.noEndpoints === true ? [] : planEndpoints(draft, { service, text, options });
  if (!service.headless) {
    if (options.ignoreEmptyService === true && endpoints.length === 0) return none;
    planClusterIPs(draft, service, name, text);
  }
  // Without an endpoint to name, a headless Service has no name at all (§2.4.1).
  else if (endpoints.length > 0) planHeadless(draft, { service, name, text, endpoints });
  return draft.finish();
}

/** Gathers records by name. */
class Draft {
  readonly #ttl: number;
  readonly #records = new Map<string, RR[]>();
  readonly #additional = new Map<string, RR[]>();
  readonly pointers: (readonly [string, string])[] = [];

  constructor(ttl: number) {
    this.#ttl = ttl;
  }

  /** Makes the name exist, with records of its own or without. */
  add(name: string, ...data: readonly RData[]): void {
    const records = this.#records.get(name) ?? [];
    for (const each of data) records.push(this.#record(name, each));
    this.#records.set(name, records);
  }

  /** Lets responses to SRV queries of `name` carry the addresses of `target`. */
  addAdditional(name: string, target: string, ...data: readonly RData[]): void {
    const records = this.#additional.get(name) ?? [];
    for (const each of data) records.push(this.#record(target, each));
    this.#additional.set(name, records);
  }

  #record(name: string, data: RData): RR {
    const owner = { name, ttl: this.#ttl };
    return "address" in data ? addressRecord(owner, data.address) : srvRecord(owner, data);
  }

  finish(): ServiceRecords {
    const names = new Map<string, Node>();
    for (const [name, records] of this.#records) {
      names.set(name, { records, additional: this.#additional.get(name) ?? [], cname: undefined });
    }
    return { names, pointers: this.pointers };
  }
}

function planExternal(service: ServiceResource, name: string, { ttl }: RecordOptions): ServiceRecords {
  const target = toKey(service.externalName);
  if (target === undefined) return none;
  const record = nameRecord({ name, ttl }, types.cname, target);
  return { names: new Map([[name, { records: [record], additional: [], cname: target }]]), pointers: [] };
}

interface NamedEndpoint {
  readonly endpoint: ServiceResourceEndpoint;
  readonly name: string;
  readonly address: RData;
}

interface EndpointsToPlan {
  readonly service: ServiceResource;
  readonly text: string;
  readonly options: RecordOptions;
}

/** Each ready endpoint gets a name below the Service's: its host name, else its address with dashes (§2.4.1). */
function planEndpoints(draft: Draft, { service, text, options }: EndpointsToPlan): readonly NamedEndpoint[] {
  const named: NamedEndpoint[] = [];
  for (const endpoint of service.endpoints) {
    if (!endpoint.ready && !service.publishNotReadyAddresses) continue;
    const bytes = toBytes(endpoint.address);
    const label = endpointLabel(endpoint, options);
    const name = isLabel(label) ? toKey(`${label}.${text}`) : undefined;
    if (bytes === undefined || name === undefined) continue;
    const address: RData = { address: bytes };
    draft.add(name, address);
    draft.pointers.push([keyOfOwn(toReverseName(bytes)), name]);
    named.push({ endpoint, name, address });
  }
  for (const { name, items } of groupByName(named)) {
    const ports = service.ports.flatMap((port) => items.slice(0, 1).map(({ endpoint }) => endpoint.ports[port.name]));
    for (const port of new Set(ports)) if (port !== undefined) draft.add(name, srv(name, port, 100));
    for (const { address } of items) draft.addAdditional(name, name, address);
  }
  return named;
}

function endpointLabel(endpoint: ServiceResourceEndpoint, { endpointPodNames }: RecordOptions): string {
  if (endpoint.hostname !== "") return endpoint.hostname;
  const isPodName = endpointPodNames === true && endpoint.podName !== "" && endpoint.podName.length <= 63;
  return isPodName ? endpoint.podName : toDashed(endpoint.address);
}

function planClusterIPs(draft: Draft, service: ServiceResource, name: string, text: string): void {
  const addresses: RData[] = [];
  for (const clusterIP of service.clusterIPs) {
    const bytes = toBytes(clusterIP);
    if (bytes === undefined) continue;
    addresses.push({ address: bytes });
    draft.pointers.push([keyOfOwn(toReverseName(bytes)), name]);
  }
  draft.add(name, ...addresses);
  draft.addAdditional(name, name, ...addresses);
  for (const port of service.ports) {
    draft.add(name, srv(name, port.port, weightOf(service.ports.length)));
    const portName = portKey(port.name, port.protocol, text);
    if (portName === undefined) continue;
    // CoreDNS answers A at the port's name, too.
    draft.add(portName, srv(name, port.port, 100), ...addresses);
    draft.addAdditional(portName, name, ...addresses);
  }
}

interface HeadlessToPlan {
  readonly service: ServiceResource;
  readonly name: string;
  readonly text: string;
  readonly endpoints: readonly NamedEndpoint[];
}

function planHeadless(draft: Draft, { service, name, text, endpoints }: HeadlessToPlan): void {
  draft.add(name, ...endpoints.map(({ address }) => address));
  for (const endpoint of endpoints) draft.addAdditional(name, endpoint.name, endpoint.address);
  const groups = groupByName(endpoints);
  for (const port of service.ports) {
    const portName = portKey(port.name, port.protocol, text);
    const serving = endpoints.filter(({ endpoint }) => endpoint.ports[port.name] !== undefined);
    for (const { name: target, items } of groups) {
      const number = items.map(({ endpoint }) => endpoint.ports[port.name]).find((each) => each !== undefined);
      if (number === undefined) continue;
      draft.add(name, srv(target, number, weightOf(endpoints.length * service.ports.length)));
      if (portName === undefined) continue;
      draft.add(portName, srv(target, number, weightOf(serving.length)), ...items.map(({ address }) => address));
      for (const { address } of items) draft.addAdditional(portName, target, address);
    }
  }
}

/** Endpoints of one host name share it: one SRV record, all their addresses. */
function groupByName(endpoints: readonly NamedEndpoint[]): readonly { name: string; items: NamedEndpoint[] }[] {
  return [...Map.groupBy(endpoints, ({ name }) => name)].map(([name, items]) => ({ name, items }));
}

function srv(target: string, port: number, weight: number): RData {
  return { priority: 0, weight, port, target };
}

/** As CoreDNS has it: 100 shared by all of one priority, at least 1. */
function weightOf(count: number): number {
  return Math.max(1, Math.floor(100 / count));
}

/** Neither empty nor several labels. */
function isLabel(text: string): boolean {
  return text !== "" && !text.includes(".");
}

/** Unnamed ports have no SRV name (§2.3.2). */
function portKey(portName: string, protocol: string, text: string): string | undefined {
  return !isLabel(portName) ? undefined : toKey(`_${portName}._${protocol.toLowerCase()}.${text}`);
}

/** Of the version's record, in seconds, as CoreDNS has it. */
const dnsVersionTTL = 28_800;

/** Names that exist in every cluster; `dnsVIPs` are the addresses of the DNS Service. */
export function planFixed({
  domain,
  ttl,
  dnsVIPs,
}: Pick<RecordOptions, "domain" | "ttl"> & { readonly dnsVIPs: readonly string[] }): ReadonlyMap<string, Node> {
  const names = new Map<string, Node>();
  const set = (text: string, records: (name: string) => readonly RR[]): void => {
    const name = keyOfOwn(text);
    names.set(name, { records: records(name), additional: [], cname: undefined });
  };
  set(`dns-version.${domain}`, (name) => [txtRecord({ name, ttl: dnsVersionTTL }, "1.1.0")]);
  set(`ns.dns.${domain}`, (name) =>
    dnsVIPs.map((text) => addressRecord({ name, ttl }, toBytes(text) ?? new Uint8Array(4))),
  );
  for (const text of [`dns.${domain}`, `svc.${domain}`, `pod.${domain}`]) set(text, () => []);
  return names;
}
