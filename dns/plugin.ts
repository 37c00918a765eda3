/**
 * What a plugin is: a piece of the chain that answers a query or hands it to the next one.
 *
 *   server ─▶ Handler (plugin A) ─▶ Handler (plugin B) ─▶ … ─▶ Answer
 *
 * The law (CoreDNS' plugin.cfg): a plugin feels those below it and must not care about those above; the order is data
 * (registry.ts) and not the Corefile's. Answers come at once where they can: a promise is only for what waits.
 */
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Answer, Validity } from "./answer.ts";
import type { Directive } from "./corefile/directive.ts";
import type { HTTPRegistry } from "./server/admin.ts";
import type { TLSFiles } from "./server/listener.ts";
import type { UpstreamTransport } from "./transport.ts";
import type { Query } from "./wire/query.ts";
import type { RR } from "./wire/record.ts";
import type { ClusterSource } from "./cluster-source.ts";

export type Proto = "udp" | "tcp" | "tls" | "https";

/** A query and where it came from. */
export interface Request {
  readonly query: Query;
  readonly proto: Proto;
  /** Address and port of the downstream; empty and 0 for what plugins ask themselves. */
  readonly client: string;
  readonly clientPort: number;
  /** Lookups that this one serves: 0 for a downstream's own. Bounds what plugins ask on behalf of it. */
  readonly depth: number;
}

/** At once, or later. */
export type Outcome = Answer | Promise<Answer>;
export type Handler = (request: Request) => Outcome;

/** One sample of a metric. `labels` in the order they are printed. */
export interface MetricFamily {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Lines behind the name: `{a="b"} 1`, `_bucket{le="1"} 2`. */
  readonly lines: readonly string[];
}

/** What a plugin adds to an answer that is given out again without asking it. */
export interface Repetition {
  /** While it is not over, the plugin would do with the question what it did. Absent: always. */
  readonly validity?: Validity;
  /** Counts one repetition. */
  readonly count?: () => void;
}

export interface Plugin {
  /** As in a Corefile, and in the metric label `plugin`. */
  readonly name: string;
  /** The handler that stands before `next`. Absent for plugins that only listen or only configure. */
  wrap?(next: Handler, whole: () => Handler): Handler;
  /**
   * What it would take to give `answer`, which came through this plugin or of it, to everybody who asks the same over
   * UDP without options. Undefined, as when absent: the plugin must see each query.
   */
  repeat?(request: Request, answer: Answer): Repetition | undefined;
  /** Whether a query is for this server block at all (`view`). */
  accepts?(request: Request): boolean;
  /** False holds /ready back. Absent: always ready. */
  isReady?(): boolean;
  collect?(): readonly MetricFamily[];
  /** Records of a zone that the plugin serves, SOA first, for zone transfers; undefined when it is none of its zones. */
  zoneRecords?(zone: string): readonly RR[] | undefined;
  /** Where the server block listens (`bind`). */
  readonly bindAddresses?: readonly string[];
  /** Bytes of a UDP response at most (`bufsize`). */
  readonly payloadBytesMax?: number;
  /** Certificate of `tls://` and `https://` blocks (`tls`). */
  readonly certificate?: TLSFiles;
  start?(): void | Promise<void>;
  /** Called once the server blocks are served, in place of those before. */
  served?(): void;
  stop?(): void | Promise<void>;
}

/** Where a server block stands. */
export interface Site {
  /** `dns://:53`, `dns://127.0.0.1:53` with `bind`: the metric label `server`. Of several addresses the first. */
  readonly server: string;
  /** `cluster.local.`, as labels and messages spell it. */
  readonly zone: string;
  /** The zones of the block, as keys. */
  readonly zones: readonly string[];
  /** Plugins of the same block, by name, once all are made. */
  readonly plugins: () => ReadonlyMap<string, Plugin>;
}

/** What the process gives to its plugins. */
export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly transport: UpstreamTransport;
  /** Pages of health, ready and prometheus; shared by all server blocks. */
  readonly http: HTTPRegistry;
  /** Names of the cluster where something else feeds them (the node agent). Absent: the plugin watches an API itself. */
  readonly cluster?: ClusterSource;
  /** The text of a file; throws as readFileSync. */
  readonly readFile: (path: string) => string;
  /** Names in a folder; throws as readdirSync. */
  readonly readFolder: (path: string) => readonly string[];
  /** Addresses of an interface of this system; empty when there is none of this name. Absent: names mean nothing. */
  readonly interfaceAddresses?: (name: string) => readonly string[];
  readonly environmentVariable: (name: string) => string | undefined;
  /** Called by `loop` when queries come back: the process is to end. */
  readonly fatal: (message: string) => void;
  /** Asks the process to read its configuration again when its text has changed (`reload`). */
  readonly reload: () => void;
  /** Whether the process was told to end and serves on for a while (`health` lameduck). */
  readonly lifecycle: { isStopping: boolean; lameduckMs: number };
}

/**
 * Makes a plugin of a server block from its directives (most have one). Throws DNSError Corefile for bad arguments.
 */
export interface PluginKind {
  readonly name: string;
  setup(directives: readonly Directive[], site: Site, environment: Environment): Plugin;
}
