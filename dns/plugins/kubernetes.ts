/**
 * kubernetes: names of the cluster.
 *
 *   ClusterSource ─▶ zone.ts ◀─ Request; aliases that leave the zone ─▶ the whole chain again
 *
 * What is missing before everything is known is SERVFAIL: NXDOMAIN would be believed.
 * Follows: CoreDNS plugin/kubernetes, Kubernetes DNS specification 1.1.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { type Answer, answerOf, isTruncated, recordsOf, statusAnswer } from "../answer.ts";
import type { ClusterSource } from "../cluster-source.ts";
import { complain, type Directive, noArgs, numberOf, oneArg, onlyOptions, zonesOf } from "../corefile/directive.ts";
import { fallthroughOf } from "../corefile/fallthrough.ts";
import { gauge } from "../metrics.ts";
import type { Environment, Handler, Outcome, Plugin, PluginKind, Repetition, Request } from "../plugin.ts";
import { derivedQuery } from "../wire/query.ts";
import { classIN, flags, rcodes } from "../wire/constants.ts";
import { closestZone, toText } from "../wire/name.ts";
import { encodeSections, type RR } from "../wire/record.ts";
import { cnameChainMax, Zone } from "../zone.ts";
import type { PodsMode, ZoneOptions } from "../zone-options.ts";

const options = [
  "endpoint",
  "tls",
  "kubeconfig",
  "apiserver_qps",
  "apiserver_burst",
  "apiserver_max_inflight",
  "namespaces",
  "labels",
  "namespace_labels",
  "pods",
  "endpoint_pod_names",
  "ttl",
  "noendpoints",
  "fallthrough",
  "ignore",
  "startup_timeout",
] as const;
type Option = (typeof options)[number];

/** The plugin `kubernetes [ZONES…] { … }`. Offers `namespaceOf` to autopath. */
export const kubernetes: PluginKind = {
  name: "kubernetes",
  setup(directives, site, environment) {
    const plugins = directives.map((directive) => new Kubernetes(directive, site.zones, environment));
    return new KubernetesPlugin(plugins);
  },
};

/** All `kubernetes` of a server block. */
export class KubernetesPlugin implements Plugin {
  readonly name = "kubernetes";
  readonly #all: readonly Kubernetes[];

  constructor(all: readonly Kubernetes[]) {
    this.#all = all;
  }

  wrap(next: Handler, whole: () => Handler): Handler {
    return this.#all.reduceRight<Handler>((inner, each) => (request) => each.serve(request, inner, whole), next);
  }

  /** What others or nobody answered may be ours with the next change; what is missing is so while synced. */
  repeat(_request: Request, { plugin, sections }: Answer): Repetition {
    if (plugin === this.name && sections.counts[0] > 0) return {};
    const all = this.#all.map(({ zone, source }) => ({ source, validity: zone.validity }));
    const isOver = (): boolean => all.some(({ source, validity }) => validity.isOver || !source.isSynced);
    return {
      validity: {
        get isOver() {
          return isOver();
        },
      },
    };
  }

  isReady(): boolean {
    return this.#all.every(({ source }) => source.isSynced);
  }

  /** A Service that is served, for k8s_external. */
  serviceOf(namespace: string, name: string): ServiceResource | undefined {
    return this.#all.map(({ zone }) => zone.serviceOf(namespace, name)).find((found) => found !== undefined);
  }

  hasNamespace(namespace: string): boolean {
    return this.#all.some(({ zone }) => zone.hasNamespace(namespace));
  }

  /** The search list of the pod with this address: `<namespace>.svc.<domain>` and so on, as keys. */
  searchOf(address: string): readonly string[] {
    for (const each of this.#all) {
      const search = each.searchOf(address);
      if (search.length > 0) return search;
    }
    return [];
  }

  zoneRecords(zone: string): readonly RR[] | undefined {
    const found = this.#all.find(({ zone: { key } }) => key === zone);
    return found === undefined ? undefined : [...found.zone.records()];
  }

  collect(): ReturnType<NonNullable<Plugin["collect"]>> {
    const lines = this.#all.map(({ zone }) => `{zone="${zone.domain}."} ${zone.serviceCount}`);
    return [gauge("wherry_dns_services", "Services that are known.", lines)];
  }

  async start(): Promise<void> {
    await Promise.all(this.#all.map((each) => each.start()));
  }

  stop(): void {
    for (const each of this.#all) each.stop();
  }
}

class Kubernetes {
  readonly zone: Zone;
  source: ClusterSource = notWatching;
  readonly #environment: Environment;
  readonly #fallthrough: readonly string[];
  readonly #zones: readonly string[];
  readonly #sourceOf: () => Promise<ClusterSource>;
  #unwatch: () => void = () => {};

  constructor(directive: Directive, siteZones: readonly string[], environment: Environment) {
    const block = onlyOptions(directive, options);
    const last = (name: Option): Directive | undefined => block.findLast((each) => each.name === name);
    this.#zones = zonesOf(directive, directive.args, siteZones);
    this.#environment = environment;
    this.#fallthrough = fallthroughOf(block, this.#zones);
    this.#sourceOf = sourceFactory(directive, last, environment);
    this.zone = new Zone(this.#zoneOptions(directive, last));
    if (environment.cluster !== undefined) this.#attach(environment.cluster);
  }

  #zoneOptions(directive: Directive, last: (name: Option) => Directive | undefined): ZoneOptions {
    const isReverse = (zone: string): boolean => closestZone(zone, reverseRoots) !== undefined;
    const forward = this.#zones.filter((zone) => !isReverse(zone));
    const [key] = forward;
    if (key === undefined || forward.length > 1)
      complain(directive, `${forward.length} zones that are not reverse, wanted one such as cluster.local`);
    const ttl = last("ttl");
    const namespaces = last("namespaces")?.args;
    const ignored = last("ignore");
    if (ignored !== undefined && oneArg(ignored, "empty_service") !== "empty_service")
      complain(ignored, `"${ignored.args.join(" ")}", wanted empty_service`);
    for (const name of ["endpoint_pod_names", "noendpoints"] as const) {
      const flag = last(name);
      if (flag !== undefined) noArgs(flag);
    }
    return {
      domain: toText(key).slice(0, -1),
      reverseZones: this.#zones.filter(isReverse),
      ttl: ttl === undefined ? 5 : numberOf(ttl, oneArg(ttl, "seconds"), { min: 0, max: 3600 }),
      pods: podsOf(last("pods")),
      endpointPodNames: last("endpoint_pod_names") !== undefined,
      noEndpoints: last("noendpoints") !== undefined,
      ignoreEmptyService: ignored !== undefined,
      ...(namespaces === undefined ? {} : { namespaces }),
      hasNamespace: (namespace) => this.source.hasNamespace(namespace),
      namespaceOfPod: (address) => this.source.namespaceOfPod(address),
    };
  }

  async start(): Promise<void> {
    if (this.#environment.cluster === undefined) this.#attach(await this.#sourceOf());
    await this.source.start();
  }

  #attach(source: ClusterSource): void {
    const { clock } = this.#environment;
    this.source = source;
    this.#unwatch = source.watch({
      apply: (updated, removed) => this.zone.apply(updated, removed, clock.nowMs() / 1000),
    });
  }

  stop(): void {
    this.#unwatch();
    if (this.source !== this.#environment.cluster) this.source.stop();
  }

  serve(request: Request, next: Handler, whole: () => Handler): Outcome {
    const { query } = request;
    const zone = query.class === classIN ? this.zone.zoneOf(query.name) : undefined;
    if (zone === undefined) return next(request);
    const found = this.zone.find(query.name, query.type, zone);
    if (found.kind === "alias") return this.#chase(request, found, whole());
    const { answer } = found;
    if (answer.sections.counts[0] > 0) return answer;
    if (!this.source.isSynced) return unsynced;
    // A name of the cluster that exists is nobody else's.
    const isMissing = answer.rcode === rcodes.nxDomain;
    if (isMissing && closestZone(query.name, this.#fallthrough) !== undefined) return next(request);
    return answer;
  }

  searchOf(address: string): readonly string[] {
    const namespace = this.source.namespaceOfPod(address) ?? this.zone.namespaceOfEndpoint(address);
    if (namespace === undefined) return [];
    const { domain } = this.zone;
    return [`${namespace}.svc.${domain}`, `svc.${domain}`, domain];
  }

  /** The alias first, then what the chain says of its target (§2.5). */
  async #chase(
    request: Request,
    { aliases, target }: { readonly aliases: readonly RR[]; readonly target: string },
    whole: Handler,
  ): Promise<Answer> {
    const { query } = request;
    const alone = (rcode: number, more: readonly RR[] = [], extra = 0): Answer => {
      const sections = encodeSections(query.name, { answer: [...aliases, ...more] });
      return answerOf({ plugin: "kubernetes", rcode, flags: flags.authoritative | extra, isLive: true, sections });
    };
    if (request.depth >= cnameChainMax) return alone(rcodes.noError);
    const inner = derivedQuery(query, target);
    const answer = await whole({ ...request, query: inner, depth: request.depth + 1 });
    if (answer.rcode < 0) return alone(rcodes.noError);
    const more = recordsOf(inner, answer).answer;
    // An upstream that fails leaves the alias: the downstream may ask for the target itself.
    return alone(rcodes.noError, more, isTruncated(answer) ? flags.truncated : 0);
  }
}

const unsynced = statusAnswer(rcodes.servFail, "kubernetes");
export const reverseRoots: readonly string[] = ["\x07in-addr\x04arpa\0", "\x03ip6\x04arpa\0"];

function podsOf(directive: Directive | undefined): PodsMode {
  if (directive === undefined) return "disabled";
  const mode = oneArg(directive, "disabled, insecure or verified");
  if (mode === "disabled" || mode === "insecure" || mode === "verified") return mode;
  return complain(directive, `"${mode}", wanted disabled, insecure or verified`);
}

/** Stands in until `start`. */
const notWatching: ClusterSource = {
  isSynced: false,
  watch: () => () => undefined,
  hasNamespace: () => undefined,
  namespaceOfPod: () => undefined,
  start: async () => undefined,
  stop: () => undefined,
};

/** What the options say of the API server; checked at once, connected to in `start`. */
function sourceFactory(
  directive: Directive,
  last: (name: Option) => Directive | undefined,
  environment: Environment,
): () => Promise<ClusterSource> {
  const { cluster } = environment;
  const needsAPI = ["endpoint", "tls", "kubeconfig", "labels", "namespace_labels"] as const;
  if (cluster !== undefined) {
    const given = needsAPI.map(last).find((each) => each !== undefined);
    if (given !== undefined) complain(given, `${given.name} has no meaning inside a node, wanted none`);
    return async () => cluster;
  }
  const args = (name: Option): readonly string[] | undefined => last(name)?.args;
  return async () => {
    const { watchedCluster } = await import("../kube/watched.ts");
    return watchedCluster(
      {
        endpoint: args("endpoint")?.[0],
        tls: args("tls"),
        kubeconfig: args("kubeconfig"),
        labels: args("labels")?.join(" "),
        namespaceLabels: args("namespace_labels")?.join(" "),
        startupTimeout: args("startup_timeout")?.[0],
        watchesPods: last("pods")?.args[0] === "verified",
        at: directive,
      },
      environment,
    );
  };
}
