/**
 * Filters that are modules of their own: loaded by name from the configuration, and again when their file changes.
 *
 *   typed_config { "@type": wherry.v1.FilterModule, module, config } ─▶ moduleFilter() ─▶ HttpFilterFactory
 *                                     FilterModules: import(file) ─▶ FilterModule ─▶ configure(config)
 *
 * A request that comes before its module is there waits for it; one whose module does not load is answered 500: a
 * filter may guard what is behind it, so leaving it out is no choice. A reload that fails keeps what was there.
 * Requests under way keep the filter they began with. Modules run with the process's own rights: see README, Sandbox.
 */
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Reader } from "../config/reader.ts";
import type { EndVerdict, FilterContext, HttpFilter, HttpFilterFactory, Verdict } from "../filter.ts";
import type { Headers } from "../http1/headers.ts";
import { FilterError, type FilterMaker, wantFilter, wantMaker, wantVerdict } from "./verdicts.ts";

export const moduleType = "type.googleapis.com/wherry.v1.FilterModule";

/** What a filter module exports as its default. */
export interface FilterModule {
  /** Checks `config` (the JSON of the configuration) and throws when it is wrong; what comes back makes the filters. */
  configure(config: unknown): () => HttpFilter | undefined;
}

export interface ModuleConfig {
  /** A file, relative to the folder of FilterModules. */
  readonly module: string;
  readonly config: unknown;
}

/** The fields of wherry.v1.FilterModule. */
export function readModule(reader: Reader): ModuleConfig {
  const module = reader.wantText("module");
  if (!/^[\w.-][\w./-]*\.(ts|js|mjs)$/.test(module) || module.split("/").includes(".."))
    throw reader.bad(
      "module",
      `${JSON.stringify(module)}, wanted a path to a .ts, .js or .mjs below the filter folder, ` +
        "which is the folder of the configuration file",
    );
  const config = reader.raw("config") ?? {};
  reader.done();
  return { module, config };
}

export interface FilterModulesOptions {
  /** Where modules are. */
  readonly folder: string;
  readonly log: Logger;
  /** Imports a URL; given so that tests need no files. */
  readonly load?: (url: string) => Promise<unknown>;
  /** Calls back when a file has changed or come; returns what ends it; may throw. Undefined: no hot reload. */
  readonly watch?: (file: string, onChange: () => void) => () => void;
}

interface Loaded {
  current: FilterModule | undefined;
  error: Error | undefined;
  readonly ready: Promise<void>;
  readonly listeners: Set<() => void>;
  readonly unwatch: (() => void) | undefined;
}

export class FilterModules {
  readonly #options: FilterModulesOptions;
  readonly #loaded = new Map<string, Loaded>();
  #version = 0;

  constructor(options: FilterModulesOptions) {
    this.#options = options;
  }

  /** The module, or undefined while it is not there; `onChange` is called each time that it is loaded. */
  get(name: string, onChange: () => void): FilterModule | undefined {
    const loaded = this.#loaded.get(name) ?? this.#begin(name);
    loaded.listeners.add(onChange);
    return loaded.current;
  }

  /** Why the module is not there. */
  errorOf(name: string): Error | undefined {
    return this.#loaded.get(name)?.error;
  }

  /** Resolves once the first attempt to load it is over. */
  async ready(name: string): Promise<void> {
    await (this.#loaded.get(name) ?? this.#begin(name)).ready;
  }

  /** Loads it again; what was there stays when that fails. */
  async reload(name: string): Promise<void> {
    const loaded = this.#loaded.get(name);
    if (loaded !== undefined) await this.#load(name, loaded);
  }

  /** Loads the module; throws what keeps requests of this configuration from being served. */
  async check({ module, config }: ModuleConfig): Promise<void> {
    await this.ready(module);
    const current = this.#loaded.get(module)?.current;
    if (current !== undefined) return void wantMaker(current.configure(config));
    const why = this.errorOf(module)?.message ?? "it was closed";
    throw new FilterError("NOT_LOADED", `Cannot load filter module ${module}: ${why}`);
  }

  /** The module is there, and refuses a configuration. */
  reportConfigure(name: string, error: string): void {
    this.#options.log.error("Cannot configure filter module", { module: name, error });
  }

  close(): void {
    for (const { unwatch } of this.#loaded.values()) unwatch?.();
    this.#loaded.clear();
  }

  #begin(name: string): Loaded {
    const { promise, resolve: done } = Promise.withResolvers<void>();
    const file = resolve(this.#options.folder, name);
    const unwatch = this.#watch(file, name);
    const loaded: Loaded = { current: undefined, error: undefined, ready: promise, listeners: new Set(), unwatch };
    this.#loaded.set(name, loaded);
    void this.#load(name, loaded).then(done);
    return loaded;
  }

  /** Without a watch the module is loaded this once. */
  #watch(file: string, name: string): (() => void) | undefined {
    try {
      return this.#options.watch?.(file, () => void this.reload(name));
    } catch (error) {
      this.#options.log.error("Cannot watch filter module", { module: name, error: messageOf(error) });
      return undefined;
    }
  }

  async #load(name: string, loaded: Loaded): Promise<void> {
    const url = pathToFileURL(resolve(this.#options.folder, name));
    // Modules are kept by their URL: another query is another module.
    if (this.#version++ > 0) url.search = `v=${this.#version}`;
    try {
      const load = this.#options.load ?? (async (href: string): Promise<unknown> => import(href));
      loaded.current = filterModuleOf(name, await load(url.href));
      loaded.error = undefined;
      this.#options.log.info("Loaded filter module", { module: name });
    } catch (error) {
      loaded.error = error instanceof Error ? error : new Error(String(error));
      this.#options.log.error("Cannot load filter module", { module: name, error: messageOf(error) });
    }
    for (const listener of loaded.listeners) listener();
  }
}

function filterModuleOf(name: string, namespace: unknown): FilterModule {
  const candidate = (namespace as { default?: Partial<FilterModule> } | undefined)?.default;
  if (typeof candidate?.configure !== "function")
    throw new FilterError("NOT_A_FILTER", `Cannot use module ${name}: its default export has no configure()`);
  return candidate as FilterModule;
}

/** The factory of one module with one configuration. */
export function moduleFilter(
  name: string,
  { module, config }: ModuleConfig,
  modules: FilterModules | undefined,
): HttpFilterFactory {
  let make: FilterMaker | undefined;
  const waiting = new Set<() => void>();
  const update = (): void => {
    const current = modules?.get(module, update);
    try {
      if (current !== undefined) make = wantMaker(current.configure(config));
    } catch (error) {
      // The configuration of before, if there is one, goes on.
      failure = messageOf(error);
      modules?.reportConfigure(module, failure);
    }
    for (const resume of waiting) resume();
    waiting.clear();
  };
  let failure: string | undefined;
  update();
  return {
    name,
    create: () => {
      if (make !== undefined) return wantFilter(make());
      return new WaitingFilter({
        make: () => make,
        whyNot: () =>
          modules === undefined ? "modules are not loaded here" : (failure ?? modules.errorOf(module)?.message),
        waiting,
      });
    },
  };
}

interface WaitingOptions {
  make(): FilterMaker | undefined;
  whyNot(): string | undefined;
  readonly waiting: Set<() => void>;
}

/** Stands in until the module is there: holds the request's head, then is what the module makes. */
class WaitingFilter implements HttpFilter {
  readonly #options: WaitingOptions;
  #filter: HttpFilter | undefined;
  #made = false;

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  onRequestHeaders(context: FilterContext, isWhole: boolean): Verdict {
    const options = this.#options;
    if (this.#isMade()) {
      return this.#filter?.onRequestHeaders === undefined
        ? "continue"
        : this.#filter.onRequestHeaders(context, isWhole);
    }
    const why = options.whyNot();
    if (why !== undefined) {
      context.log.error("Cannot run filter", { why });
      context.reply({ status: 500, body: "Cannot finish request: a filter is not there\n" });
      return "stop";
    }
    // By the context, so that what the filter throws stays its request's.
    options.waiting.add(() => {
      context.after(0, () => {
        if (wantVerdict(this.onRequestHeaders(context, isWhole)) !== "stop") context.resume();
      });
    });
    return "stop";
  }

  #isMade(): boolean {
    const make = this.#made ? undefined : this.#options.make();
    if (make === undefined) return this.#made;
    this.#made = true;
    this.#filter = wantFilter(make());
    return true;
  }

  onRequestData(context: FilterContext, data: Buffer): ReturnType<NonNullable<HttpFilter["onRequestData"]>> {
    return this.#filter?.onRequestData === undefined ? "continue" : this.#filter.onRequestData(context, data);
  }

  onResponseHeaders(context: FilterContext, isWhole: boolean): Verdict {
    // A filter in front of it may have answered.
    this.#isMade();
    return this.#filter?.onResponseHeaders === undefined
      ? "continue"
      : this.#filter.onResponseHeaders(context, isWhole);
  }

  onResponseData(context: FilterContext, data: Buffer): ReturnType<NonNullable<HttpFilter["onResponseData"]>> {
    return this.#filter?.onResponseData === undefined ? "continue" : this.#filter.onResponseData(context, data);
  }

  onRequestEnd(context: FilterContext): EndVerdict {
    return this.#filter?.onRequestEnd?.(context);
  }

  onResponseEnd(context: FilterContext): EndVerdict {
    return this.#filter?.onResponseEnd?.(context);
  }

  onRequestTrailers(context: FilterContext, trailers: Headers): Verdict {
    return this.#filter?.onRequestTrailers === undefined
      ? "continue"
      : this.#filter.onRequestTrailers(context, trailers);
  }

  onResponseTrailers(context: FilterContext, trailers: Headers): Verdict {
    return this.#filter?.onResponseTrailers === undefined
      ? "continue"
      : this.#filter.onResponseTrailers(context, trailers);
  }

  onEnd(context: FilterContext): void {
    // What it gives, which may be a promise, is its caller's to look at.
    return this.#filter?.onEnd?.(context);
  }
}
