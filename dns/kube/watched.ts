/**
 * A ClusterSource that watches an API server itself: what the resolver has when it stands alone.
 *
 *   Services, EndpointSlices, Namespaces (, Pods) ─▶ reflector.ts ─▶ ServiceResource ─▶ consumers
 *
 * Only what answers need is kept of each object, and only Services of namespaces that `namespace_labels` selects are
 * passed on. Serves what it has after `startup_timeout`; what is missing then is
 * SERVFAIL until the first lists are complete.
 */
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { canonical, toBytes } from "../address.ts";
import { PushedCluster } from "../cluster-source.ts";
import { complain, type Directive, durationOf } from "../corefile/directive.ts";
import type { Environment } from "../plugin.ts";
import { type Access, inCluster, readKubeconfig } from "./kubeconfig.ts";
import { PodAddresses } from "./pod-addresses.ts";
import { APIReader, Reflector, type ReflectorOptions } from "./reflector.ts";
import { Slices } from "./slices.ts";
import { podAddresses, type SlimService, type SlimSlice, slimService, slimSlice } from "./slim.ts";

export interface WatchedOptions {
  readonly endpoint: string | undefined;
  /** CERT KEY CA */
  readonly tls: readonly string[] | undefined;
  /** FILE [CONTEXT] */
  readonly kubeconfig: readonly string[] | undefined;
  readonly labels: string | undefined;
  readonly namespaceLabels: string | undefined;
  readonly startupTimeout: string | undefined;
  readonly watchesPods: boolean;
  readonly at: Directive;
}

/** A source that starts watching with `start`. Throws DNSError Corefile. */
export function watchedCluster(options: WatchedOptions, environment: Environment): WatchedCluster {
  return new WatchedCluster(options, environment);
}

function accessOf({ endpoint, tls, kubeconfig, at }: WatchedOptions, environment: Environment): Access {
  const { readFile, environmentVariable } = environment;
  if (kubeconfig !== undefined) {
    const [path, context] = kubeconfig;
    return readKubeconfig(path ?? complain(at, "kubeconfig without a file"), context, readFile);
  }
  if (endpoint === undefined) return inCluster(readFile, environmentVariable, "kubeconfig or endpoint");
  if (!URL.canParse(endpoint)) complain(at, `endpoint "${endpoint}", wanted a URL`);
  const [cert, key, ca] = tls ?? [];
  return {
    server: endpoint,
    ...(cert === undefined ? {} : { cert: readFile(cert) }),
    ...(key === undefined ? {} : { key: readFile(key) }),
    ...(ca === undefined ? {} : { ca: readFile(ca) }),
  };
}

export class WatchedCluster extends PushedCluster {
  readonly #environment: Environment;
  readonly #reader: APIReader;
  readonly #stopped = new AbortController();
  readonly #labels: Readonly<Record<"service" | "namespace", string>>;
  readonly #startupMs: number;
  readonly #watchesPods: boolean;
  readonly #slim = new Map<string, SlimService>();
  readonly #slices = new Slices();
  readonly #namespaces = new Set<string>();
  readonly #pods = new PodAddresses();
  #areNamespacesKnown = false;

  constructor(options: WatchedOptions, environment: Environment) {
    super();
    this.#environment = environment;
    this.#reader = new APIReader(accessOf(options, environment));
    this.#labels = { service: options.labels ?? "", namespace: options.namespaceLabels ?? "" };
    this.#startupMs = durationOf(options.at, options.startupTimeout ?? "5s");
    this.#watchesPods = options.watchesPods;
  }

  override async start(): Promise<void> {
    const { clock, log } = this.#environment;
    const synced = this.#run().then(() => {
      this.isSynced = true;
      log.info("Knows every Service");
    });
    const timeout = new AbortController();
    const waited = clock.sleep(this.#startupMs, timeout.signal).catch(() => undefined);
    await Promise.race([synced, waited]);
    timeout.abort();
    if (!this.isSynced) log.warn("Serves before every Service is known: what is missing is SERVFAIL");
  }

  override stop(): void {
    this.#stopped.abort();
    void this.#reader.close();
  }

  /** Starts all watches; resolves when the first lists are in. */
  async #run(): Promise<void> {
    const namespaces = this.#reflect<true>({
      path: "/api/v1/namespaces",
      labelSelector: this.#labels.namespace,
      slim: () => true,
      onSet: (key) => {
        const isNew = !this.#namespaces.has(key.slice(1));
        this.#namespaces.add(key.slice(1));
        if (isNew) this.#tellNamespace(key.slice(1));
      },
      onDelete: (key) => {
        this.#namespaces.delete(key.slice(1));
        this.#tellNamespace(key.slice(1));
      },
    });
    const services = this.#reflect<SlimService>({
      path: "/api/v1/services",
      labelSelector: this.#labels.service,
      slim: (object) => slimService(object as Service),
      onSet: (key, value) => {
        this.#slim.set(key, value);
        this.#tell(key);
      },
      onDelete: (key) => {
        this.#slim.delete(key);
        this.#tell(key);
      },
    });
    const slices = this.#reflect<SlimSlice>({
      path: "/apis/discovery.k8s.io/v1/endpointslices",
      labelSelector: "",
      slim: (object) => slimSlice(object as EndpointSlice),
      onSet: (key, value) => this.#setSlice(key, value),
      onDelete: (key) => this.#deleteSlice(key),
    });
    const all = [namespaces, services, slices];
    if (this.#watchesPods) all.push(this.#reflectPods());
    await namespaces;
    this.#areNamespacesKnown = true;
    await Promise.all(all);
  }

  #reflectPods(): Promise<void> {
    return this.#reflect<readonly string[]>({
      path: "/api/v1/pods",
      labelSelector: "",
      slim: (object) => podAddresses(object),
      onSet: (key, addresses) => this.#pods.set(key, addresses),
      onDelete: (key) => this.#pods.delete(key),
    });
  }

  #reflect<T>(
    given: Pick<ReflectorOptions<T>, "path" | "labelSelector" | "slim" | "onSet" | "onDelete">,
  ): Promise<void> {
    const { clock, random, log } = this.#environment;
    const reflector = new Reflector<T>({ ...given, reader: this.#reader, clock, random, log });
    void reflector.run(this.#stopped.signal);
    return reflector.synced;
  }

  override hasNamespace(namespace: string): boolean | undefined {
    return this.#areNamespacesKnown ? this.#namespaces.has(namespace) : undefined;
  }

  override namespaceOfPod(address: string): string | undefined {
    const bytes = toBytes(address);
    return this.#pods.namespaceOf(bytes === undefined ? address : canonical(bytes));
  }

  #setSlice(key: string, slice: SlimSlice): void {
    const before = this.#slices.set(key, slice);
    if (before !== undefined && before !== slice.service) this.#tell(before);
    this.#tell(slice.service);
  }

  #deleteSlice(key: string): void {
    const service = this.#slices.delete(key);
    if (service !== undefined) this.#tell(service);
  }

  /** Shows or hides the Services of a namespace that came or went; without `namespace_labels` all are shown. */
  #tellNamespace(namespace: string): void {
    if (this.#labels.namespace === "") return;
    for (const [name, service] of this.#slim) if (service.namespace === namespace) this.#tell(name);
  }

  #isShown({ namespace }: SlimService): boolean {
    return this.#labels.namespace === "" || this.#namespaces.has(namespace);
  }

  /** Puts a Service and its slices together, and passes it on. */
  #tell(name: string): void {
    const service = this.#slim.get(name);
    if (service === undefined || !this.#isShown(service)) return this.apply([], [name]);
    this.apply([{ name, resource: { ...service, endpoints: this.#slices.endpointsOf(name) } }], []);
  }
}
