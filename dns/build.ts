/**
 * From server blocks to what can serve: plugins made, chains closed, blocks sorted by address.
 *
 *   ServerBlock[] ─▶ buildInstance ─▶ Instance (sites, listeners to open) ─▶ state.ts, main.ts
 *
 * Constructing opens nothing: a configuration that is wrong is found here, before the old one is given up.
 */
import { type Answer, statusAnswer } from "./answer.ts";
import { complain, type Directive } from "./corefile/directive.ts";
import type { Scheme, ServerBlock } from "./corefile/parse.ts";
import { DNSError } from "./errors.ts";
import { SiteMetrics } from "./metrics.ts";
import type { Environment, Handler, MetricFamily, Plugin, Repetition, Request, Site } from "./plugin.ts";
import { refuseTransfers, transfer } from "./plugins/transfer.ts";
import { enabledPlugins, PrometheusPlugin } from "./plugins/pages.ts";
import { pluginOrder } from "./registry.ts";
import type { TLSFiles } from "./server/listener.ts";
import { Router, type Served } from "./server/router.ts";
import { rcodes } from "./wire/constants.ts";
import { toText } from "./wire/name.ts";
import { payloadBytesMax } from "./wire/response.ts";

/** What one address serves. */
export interface ListenerPlan {
  /** `dns://:53`, `dns://127.0.0.1:53` */
  readonly key: string;
  readonly scheme: Scheme;
  /** Empty: all addresses. */
  readonly address: string;
  readonly port: number;
  readonly router: Router;
  readonly tls: TLSFiles | undefined;
}

/** A configuration, ready to be started. */
export interface Instance {
  readonly listeners: readonly ListenerPlan[];
  collect(): readonly MetricFamily[];
  /** Has every `prometheus` show this. */
  showMetrics(collect: () => readonly MetricFamily[]): void;
  isReady(): boolean;
  start(): Promise<void>;
  /** Tells the plugins that their server blocks are served. */
  served(): void;
  stop(): Promise<void>;
}

/** One server block with its plugins. */
interface Built {
  readonly block: ServerBlock;
  readonly plugins: ReadonlyMap<string, Plugin>;
  readonly served: readonly { readonly at: BuiltAddress; readonly served: Served }[];
}

interface BuiltAddress {
  readonly scheme: Scheme;
  readonly port: number;
  readonly address: string;
}

const ended = statusAnswer(rcodes.servFail);

/** `dns://:53`, `dns://127.0.0.1:53`, `dns://[::1]:53`: CoreDNS' name of a server, by which its metrics are told apart. */
function serverOf({ scheme, address, port }: BuiltAddress): string {
  return `${scheme}://${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** Where a block is served, and what zone of it: each address of its head at each of `bind`. */
function boundAddresses(
  { addresses }: ServerBlock,
  plugins: ReadonlyMap<string, Plugin>,
): readonly (BuiltAddress & { readonly zone: string })[] {
  const bound = [...plugins.values()].find(({ bindAddresses }) => bindAddresses !== undefined)?.bindAddresses ?? [""];
  return addresses.flatMap(({ scheme, port, zone }) => bound.map((address) => ({ scheme, port, zone, address })));
}

/** Makes every plugin. Throws DNSError Corefile. `end` answers what no plugin does. */
export function buildInstance(blocks: readonly ServerBlock[], environment: Environment, end: Answer = ended): Instance {
  refuseDuplicates(blocks);
  const built = blocks.map((block) => buildBlock(block, environment, () => end));
  const plugins = built.flatMap((each) => [...each.plugins.values()]);
  const sites = built.flatMap(({ served }) => served.map(({ served: one }) => one.metrics));
  const collect = (): readonly MetricFamily[] => [
    ...new Set(sites).values().flatMap((metrics) => metrics.collect()),
    ...plugins.flatMap((plugin) => plugin.collect?.() ?? []),
    ...built.flatMap(({ block, plugins: own }) =>
      boundAddresses(block, own).map((at) => enabledPlugins(serverOf(at), toText(at.zone), own.keys())),
    ),
  ];
  return {
    listeners: toListeners(built),
    collect,
    showMetrics(shown) {
      for (const plugin of plugins) if (plugin instanceof PrometheusPlugin) plugin.collectAll = shown;
    },
    isReady: () => plugins.every((plugin) => plugin.isReady?.() ?? true),
    async start() {
      await Promise.all(plugins.map(async (plugin) => plugin.start?.()));
    },
    served() {
      for (const plugin of plugins) plugin.served?.();
    },
    async stop() {
      await Promise.all(plugins.map(async (plugin) => plugin.stop?.()));
    },
  };
}

/** Blocks of one zone and port are an error, but where `view` or `bind` tells them apart. */
function refuseDuplicates(blocks: readonly ServerBlock[]): void {
  /** Keys of the blocks without either: of those one may take what is left. */
  const plain = new Set<string>();
  for (const { addresses, directives, at } of blocks) {
    if (directives.some(({ name }) => name === "view" || name === "bind")) continue;
    for (const { scheme, zone, port } of addresses) {
      const key = `${scheme}://${toText(zone)}:${port}`;
      if (plain.has(key))
        throw new DNSError("Corefile", `Cannot use the server block at ${at}: ${key} is there already, wanted it once`);
      plain.add(key);
    }
  }
}

function buildBlock(block: ServerBlock, environment: Environment, end: Handler): Built {
  const byName = Map.groupBy(block.directives, ({ name }) => name);
  for (const [name, [directive]] of byName) {
    if (directive !== undefined && !pluginOrder.some((kind) => kind.name === name)) refuse(directive);
  }
  const plugins = new Map<string, Plugin>();
  const site: Site = {
    // `bind` comes before every plugin that asks for it.
    get server() {
      return serverOf(boundAddresses(block, plugins)[0] ?? { scheme: "dns", address: "", port: 0 });
    },
    zone: toText(block.addresses[0]?.zone ?? "\0"),
    zones: [...new Set(block.addresses.map(({ zone }) => zone))],
    plugins: () => plugins,
  };
  for (const kind of pluginOrder) {
    const directives = byName.get(kind.name);
    if (directives !== undefined) plugins.set(kind.name, kind.setup(directives, site, environment));
  }
  return { block, plugins, served: serveBlock(block, plugins, chain(plugins, end)) };
}

function refuse(directive: Directive): never {
  const known = pluginOrder.map(({ name }) => name).sort();
  return complain(directive, `there is no such plugin, wanted one of ${known.join(", ")}`);
}

/** The plugins' handlers, one in the other; the first in order is outermost. */
function chain(plugins: ReadonlyMap<string, Plugin>, end: Handler): Handler {
  let whole: Handler = end;
  for (const { name } of pluginOrder.toReversed()) {
    // Zones go to those whom `transfer` lets, and to nobody without it; what stands above sees who asks.
    if (name === transfer.name) whole = refuseTransfers(whole);
    whole = plugins.get(name)?.wrap?.(whole, () => outermost()) ?? whole;
  }
  const made = whole;
  const outermost = (): Handler => made;
  return made;
}

function serveBlock(block: ServerBlock, plugins: ReadonlyMap<string, Plugin>, handler: Handler): Built["served"] {
  const all = [...plugins.values()];
  const find = <K extends keyof Plugin>(field: K): Plugin[K] | undefined =>
    all.find((plugin) => plugin[field] !== undefined)?.[field];
  const accepts = all.find((plugin) => plugin.accepts !== undefined);
  const metrics = new Map<string, SiteMetrics>();
  return boundAddresses(block, plugins).map((at) => {
    const { zone } = at;
    const server = serverOf(at);
    const key = `${server} ${zone}`;
    const counts = metrics.get(key) ?? new SiteMetrics(server, toText(zone));
    metrics.set(key, counts);
    const served: Served = {
      zone,
      handler,
      metrics: counts,
      payloadBytesMax: find("payloadBytesMax") ?? payloadBytesMax,
      accepts: accepts === undefined ? undefined : (request) => accepts.accepts?.(request) ?? true,
      repeat: (request, answer) => repetitionsOf(all, request, answer),
    };
    return { at, served };
  });
}

/** Of the plugins down to the one that answered. */
function repetitionsOf(
  plugins: readonly Plugin[],
  request: Request,
  answer: Answer,
): readonly Repetition[] | undefined {
  const handlers = plugins.filter((plugin) => plugin.wrap !== undefined);
  const last = handlers.findIndex(({ name }) => name === answer.plugin);
  const found = handlers.slice(0, last + 1).map((plugin) => plugin.repeat?.(request, answer));
  const known = found.filter((each) => each !== undefined);
  return last < 0 || known.length < found.length ? undefined : known;
}

function toListeners(built: readonly Built[]): readonly ListenerPlan[] {
  const all = built.flatMap(({ block, plugins, served }) => served.map((each) => ({ ...each, block, plugins })));
  const byKey = Map.groupBy(all, ({ at }) => serverOf(at));
  return [...byKey].flatMap(([key, members]) => {
    const [first] = members;
    if (first === undefined) return [];
    const { scheme, address, port } = first.at;
    const tls = members
      .flatMap(({ plugins }) => [...plugins.values()])
      .find(({ certificate }) => certificate !== undefined)?.certificate;
    if (scheme === "tls" && tls === undefined)
      complain({ at: first.block.at, name: "tls://" }, "no certificate, wanted the plugin tls CERT KEY");
    return [{ key, scheme, address, port, router: new Router(members.map(({ served }) => served)), tls }];
  });
}
