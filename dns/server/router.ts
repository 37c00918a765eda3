/**
 * Which server block a query is for: that of the longest zone the name is in, and among those of one zone the first
 * whose `view` takes it.
 *
 *   Request ─▶ Router.pick ─▶ Served (handler, metrics)
 */
import type { Answer } from "../answer.ts";
import type { SiteMetrics } from "../metrics.ts";
import type { Handler, Repetition, Request } from "../plugin.ts";
import { parentOf } from "../wire/name.ts";

/** One server block under one zone. */
export interface Served {
  /** A key. */
  readonly zone: string;
  readonly handler: Handler;
  readonly metrics: SiteMetrics;
  /** Bytes of a UDP response at most (`bufsize`). */
  readonly payloadBytesMax: number;
  readonly accepts: ((request: Request) => boolean) | undefined;
  /**
   * What a repetition of the answer costs the plugins that it came through, outermost first; undefined when one of them
   * must see each query. Absent: as if one always must.
   */
  readonly repeat: ((request: Request, answer: Answer) => readonly Repetition[] | undefined) | undefined;
}

export class Router {
  readonly #byZone: ReadonlyMap<string, readonly Served[]>;
  /** Set when the root is all there is, which needs no search. */
  readonly #all: Served | undefined;

  /** Whether who asks decides where a query goes. */
  readonly hasViews: boolean;

  constructor(served: readonly Served[]) {
    this.#byZone = Map.groupBy(served, ({ zone }) => zone);
    this.hasViews = served.some(({ accepts }) => accepts !== undefined);
    const [first] = served;
    this.#all = served.length === 1 && first?.zone === "\0" && first.accepts === undefined ? first : undefined;
  }

  pick(request: Request): Served | undefined {
    if (this.#all !== undefined) return this.#all;
    for (let name = request.query.name; ; name = parentOf(name)) {
      const found = this.#byZone.get(name)?.find(({ accepts }) => accepts === undefined || accepts(request));
      if (found !== undefined || name === "\0" || name === "") return found;
    }
  }
}
