/**
 * k8s_external: the outside addresses of Services under a zone of its own, `<service>.<namespace>.<zone>`.
 *
 *   Request ─▶ Service of the kubernetes plugin ─▶ externalIPs, load balancer addresses ─▶ A, AAAA, SRV
 *
 * A Service without such an address has no name here. The apex and `ns1.<apex>.<zone>` are made up, as any zone has them.
 * Refused: `headless`, and reverse zones; `ns1` has no addresses. Follows: CoreDNS plugin/k8s_external.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { toBytes } from "../address.ts";
import { type Answer, answerOf, statusAnswer } from "../answer.ts";
import { complain, type Directive, numberOf, oneArg, onlyOptions, zonesOf } from "../corefile/directive.ts";
import { fallthroughOf } from "../corefile/fallthrough.ts";
import type { Handler, Outcome, Plugin, PluginKind, Request, Site } from "../plugin.ts";
import { classIN, flags, rcodes, types } from "../wire/constants.ts";
import { addressRecord, nameRecord, soaRecord, srvRecord } from "../wire/data.ts";
import { closestZone, keyOfLabels, labelsBefore } from "../wire/name.ts";
import { encodeSections, type Records, type RR } from "../wire/record.ts";
import { KubernetesPlugin, reverseRoots } from "./kubernetes.ts";

/** The plugin `k8s_external [ZONES…] { apex LABEL; ttl SECONDS; fallthrough [ZONES…] }`. */
export const k8sExternal: PluginKind = {
  name: "k8s_external",
  setup([directive], site) {
    if (directive === undefined) throw new TypeError("k8s_external needs a directive");
    const external = new External(directive, site);
    return {
      name: "k8s_external",
      wrap: (next) => (request) => external.serve(request, next),
      start: () => external.check(),
    } satisfies Plugin;
  },
};

class External {
  readonly #directive: Directive;
  readonly #site: Site;
  readonly #zones: readonly string[];
  readonly #fallthrough: readonly string[];
  readonly #apex: string;
  readonly #ttl: number;

  constructor(directive: Directive, site: Site) {
    const block = onlyOptions(directive, ["apex", "ttl", "fallthrough"]);
    const last = (name: string): Directive | undefined => block.findLast((each) => each.name === name);
    const [apex, ttl] = [last("apex"), last("ttl")];
    this.#directive = directive;
    this.#site = site;
    this.#zones = zonesOf(directive, directive.args, site.zones);
    if (this.#zones.some((zone) => closestZone(zone, reverseRoots) !== undefined))
      complain(directive, "a reverse zone, wanted zones of names");
    this.#fallthrough = fallthroughOf(block, this.#zones);
    this.#apex = apex === undefined ? "dns" : oneArg(apex, "a label").toLowerCase();
    this.#ttl = ttl === undefined ? 5 : numberOf(ttl, oneArg(ttl, "seconds"), { min: 0, max: 3600 });
  }

  /** Throws DNSError Corefile when there is no kubernetes plugin beside it. */
  check(): void {
    if (this.#kubernetes === undefined) complain(this.#directive, "no kubernetes plugin in its block, wanted one");
  }

  get #kubernetes(): KubernetesPlugin | undefined {
    const found = this.#site.plugins().get("kubernetes");
    return found instanceof KubernetesPlugin ? found : undefined;
  }

  serve(request: Request, next: Handler): Outcome {
    const { name, class: qclass } = request.query;
    const zone = qclass === classIN ? closestZone(name, this.#zones) : undefined;
    if (zone === undefined) return next(request);
    const labels = labelsBefore(name, zone);
    if (labels.length === 0) return this.#answerApex(request, zone);
    if (labels.at(-1) === this.#apex) {
      const exists = labels.length === 1 || (labels.length === 2 && labels[0] === "ns1");
      return this.#nodata(name, zone, exists ? rcodes.noError : rcodes.nxDomain);
    }
    const [records, exists] = this.#find(request, zone, labels);
    if (records !== undefined) return this.#positive(name, records);
    if (exists) return this.#nodata(name, zone, rcodes.noError);
    if (this.#kubernetes?.isReady() !== true) return unsynced;
    return closestZone(name, this.#fallthrough) === undefined ? this.#nodata(name, zone) : next(request);
  }

  /** Records of the asked type, and whether the name has any. */
  #find({ query }: Request, zone: string, labels: readonly string[]): [Records | undefined, boolean] {
    const [namespace = "", service = ""] = labels.toReversed();
    if (labels.length === 1) return [undefined, this.#kubernetes?.hasNamespace(namespace) ?? false];
    if (labels.length !== 2 && labels.length !== 4) return [undefined, false];
    const found = this.#kubernetes?.serviceOf(namespace, service);
    const addresses = found === undefined ? [] : [...new Set([...found.externalIPs, ...found.loadBalancerIPs])];
    const ports = (found?.ports ?? []).filter((port) => labels.length === 2 || isNamed(port, labels));
    if (addresses.length === 0 || ports.length === 0) return [undefined, false];
    const own = { name: query.name, ttl: this.#ttl };
    const bytes = addresses.flatMap((text) => toBytes(text) ?? []);
    const ofType = query.type === types.a ? 4 : query.type === types.aaaa ? 16 : 0;
    const answer = bytes.filter(({ length }) => length === ofType).map((address) => addressRecord(own, address));
    if (answer.length > 0) return [{ answer }, true];
    if (query.type !== types.srv) return [undefined, true];
    const target = keyOfLabels([service, namespace], zone);
    const weight = Math.max(1, Math.floor(100 / (bytes.length * ports.length)));
    return [
      {
        answer: ports.map(({ port }) => srvRecord(own, { priority: 0, weight, port, target })),
        additional: bytes.map((address) => addressRecord({ name: target, ttl: this.#ttl }, address)),
      },
      true,
    ];
  }

  #answerApex({ query: { name, type } }: Request, zone: string): Answer {
    if (type === types.soa) return this.#positive(name, { answer: [this.#soa(zone)] });
    if (type !== types.ns) return this.#nodata(name, zone, rcodes.noError);
    const nameserver = keyOfLabels(["ns1", this.#apex], zone);
    return this.#positive(name, { answer: [nameRecord({ name, ttl: this.#ttl }, types.ns, nameserver)] });
  }

  #soa(zone: string): RR {
    const names = {
      mname: keyOfLabels(["ns1", this.#apex], zone),
      rname: keyOfLabels(["hostmaster", this.#apex], zone),
    };
    const times = { refresh: 7200, retry: 1800, expire: 86_400, minimum: this.#ttl };
    return soaRecord({ name: zone, ttl: this.#ttl }, { ...names, serial: 1, ...times });
  }

  #positive(name: string, records: Records): Answer {
    const sections = encodeSections(name, records);
    return answerOf({ plugin: "k8s_external", flags: flags.authoritative, isLive: true, sections });
  }

  #nodata(name: string, zone: string, rcode: number = rcodes.nxDomain): Answer {
    const sections = encodeSections(name, { authority: [this.#soa(zone)] }, zone);
    return answerOf({ plugin: "k8s_external", rcode, flags: flags.authoritative, isLive: true, sections });
  }
}

const unsynced = statusAnswer(rcodes.servFail, "k8s_external");

/** `_http._tcp.…`, underscores or not, as CoreDNS has it. */
function isNamed({ name, protocol }: ServiceResource["ports"][number], labels: readonly string[]): boolean {
  const bare = labels.slice(0, 2).map((label) => label.replace(/^_/, ""));
  return name !== "" && bare[0] === name.toLowerCase() && bare[1] === protocol.toLowerCase();
}
