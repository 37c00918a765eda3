/**
 * autopath: walks the search list of a pod here, so that an outside name costs the pod one query instead of eight.
 *
 *   name.<namespace>.svc.<domain> NXDOMAIN ─▶ name.svc.<domain> ─▶ name.<domain> ─▶ name ─▶ CNAME to what was found
 *
 * Only for the first domain of the asking pod's own search list, and only for names of several labels: others may mean
 * what they say. Follows: CoreDNS plugin/autopath.
 */
import { type Answer, recordsOf, withRecords } from "../answer.ts";
import { complain } from "../corefile/directive.ts";
import { counter } from "../metrics.ts";
import type { Handler, Outcome, Plugin, PluginKind, Repetition, Request, Site } from "../plugin.ts";
import { rcodes, types } from "../wire/constants.ts";
import { nameRecord } from "../wire/data.ts";
import { keyOfOwn, suffixOffset, toKey } from "../wire/name.ts";
import { derivedQuery } from "../wire/query.ts";
import { KubernetesPlugin } from "./kubernetes.ts";

/** The plugin `autopath [ZONES…] @kubernetes|RESOLV.CONF`. */
export const autopath: PluginKind = {
  name: "autopath",
  setup([directive], site, { readFile }) {
    if (directive === undefined) throw new TypeError("autopath needs a directive");
    const from = directive.args.at(-1) ?? complain(directive, "wanted @kubernetes or a file like resolv.conf");
    let searchOf: (client: string) => readonly string[];
    if (from.startsWith("@")) {
      if (from !== "@kubernetes") complain(directive, `"${from}", wanted @kubernetes`);
      searchOf = (client) => searchByKubernetes(site, client);
    } else {
      const line = /^search\s+(.*)$/m.exec(readFile(from))?.[1] ?? "";
      const fixed = line.split(/\s+/).filter((word) => toKey(word) !== undefined && word !== "");
      searchOf = () => fixed;
    }
    return new Autopath(site, searchOf);
  },
};

function searchByKubernetes(site: Site, client: string): readonly string[] {
  const plugin = site.plugins().get("kubernetes");
  return plugin instanceof KubernetesPlugin ? plugin.searchOf(client) : [];
}

class Autopath implements Plugin {
  readonly name = "autopath";
  readonly #site: Site;
  readonly #searchOf: (client: string) => readonly string[];
  #successes = 0;

  constructor(site: Site, searchOf: (client: string) => readonly string[]) {
    this.#site = site;
    this.#searchOf = searchOf;
  }

  /** Only what is missing is looked for elsewhere, and only for some. */
  repeat(_request: Request, { rcode, plugin }: Answer): Repetition | undefined {
    return rcode === rcodes.nxDomain || plugin === this.name ? undefined : {};
  }

  wrap(next: Handler): Handler {
    return (request) => this.#serve(request, next);
  }

  collect(): ReturnType<NonNullable<Plugin["collect"]>> {
    return [
      counter("coredns_autopath_success_total", "Search lists walked to an answer.", [
        `{server="${this.#site.server}"} ${this.#successes}`,
      ]),
    ];
  }

  #serve(request: Request, next: Handler): Outcome {
    const { query, client } = request;
    if (query.type !== types.a && query.type !== types.aaaa) return next(request);
    const search = this.#searchOf(client).map(keyOfOwn);
    const [first] = search;
    const at = first === undefined ? -1 : suffixOffset(query.name, first);
    // One label alone is a Service's name, or nothing.
    if (at <= 0 || query.name.charCodeAt(0) + 1 === at) return next(request);
    return this.#walk(request, next, { base: query.name.slice(0, at), search });
  }

  async #walk(
    request: Request,
    next: Handler,
    { base, search }: { readonly base: string; readonly search: readonly string[] },
  ): Promise<Answer> {
    const { query } = request;
    const own = await next(request);
    if (own.rcode !== rcodes.nxDomain) return own;
    for (const domain of [...search.slice(1), "\0"]) {
      const name = base + domain;
      if (name.length > 255) continue;
      const inner = derivedQuery(query, name);
      const answer = await next({ ...request, query: inner });
      if (answer.rcode !== rcodes.noError) continue;
      this.#successes++;
      const { answer: records } = recordsOf(inner, answer);
      // Both A and AAAA are asked: an empty answer is as good as a full one, and must not be NXDOMAIN.
      const ttl = records[0]?.ttl ?? 5;
      const alias = nameRecord({ name: query.name, ttl }, types.cname, name);
      return withRecords(query, { ...answer, plugin: "autopath" }, { answer: [alias, ...records] });
    }
    return own;
  }
}
