/**
 * The resolver alone: a Corefile in, CoreDNS's answers out.
 *
 *   Corefile ─▶ parse ─▶ build ─▶ Runtime; SIGTERM ─▶ lameduck ─▶ close; a changed Corefile ─▶ the same again
 *
 * A Corefile that is wrong at a reload leaves the old one serving, with a line in the log.
 */
import { createHash } from "node:crypto";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { realClock, type Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { buildInstance, type Instance } from "./build.ts";
import { parseCorefile, type ServerBlock } from "./corefile/parse.ts";
import { DNSError } from "./errors.ts";
import type { Environment } from "./plugin.ts";
import { Runtime } from "./runtime.ts";
import { HTTPRegistry } from "./server/admin.ts";
import { plainTransport } from "./transport.ts";

export interface ResolverOptions {
  readonly file: string;
  /** What stands for the file where it is none, as standard input; its imports are beside the working directory. */
  readonly text?: string;
  /** For `dns://` blocks without a port. Default 53. */
  readonly port: number;
  readonly log: Logger;
  /** Whether it is not said what is served. Default false. */
  readonly isQuiet?: boolean;
  readonly clock?: Clock;
  readonly environmentVariable: (name: string) => string | undefined;
  /** The resolver found that it cannot go on. */
  readonly onFatal: (message: string) => void;
}

/** A resolver that runs until `close`. */
export class Resolver {
  readonly runtime: Runtime;
  readonly #options: ResolverOptions;
  readonly #lifecycle = { isStopping: false, lameduckMs: 0 };
  #hash = "";
  #isReloading = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.runtime = new Runtime({ clock: options.clock ?? realClock, log: options.log });
  }

  /** Reads the Corefile and serves. Rejects with DNSError. */
  async start(): Promise<void> {
    const { blocks, hash } = this.#read();
    const { instance, http } = this.#build(blocks);
    await this.runtime.use(instance, http);
    this.#hash = hash;
    const listening = [...this.runtime.ports].map(([key, port]) => key.replace(/:0$/, `:${port}`));
    const { log, isQuiet = false } = this.#options;
    if (!isQuiet) log.info("Serving", { addresses: listening.join(" ") });
  }

  /** Takes the Corefile as it is now, if it has changed. */
  async reload(): Promise<void> {
    if (this.#isReloading) return;
    this.#isReloading = true;
    try {
      const { blocks, hash } = this.#read();
      if (hash === this.#hash) return;
      const { instance, http } = this.#build(blocks);
      await this.runtime.use(instance, http);
      this.#hash = hash;
      this.#options.log.info("Took the changed Corefile", { sha512: hash.slice(0, 16) });
    } catch (error) {
      this.runtime.noteReloadFailure();
      this.#options.log.error("Cannot take the changed Corefile: the old one is served", { error: messageOf(error) });
    } finally {
      this.#isReloading = false;
    }
  }

  /** Says that it is about to end, serves on for the lameduck time, then ends. */
  async shutDown(): Promise<void> {
    this.#lifecycle.isStopping = true;
    const { clock = realClock, log } = this.#options;
    const { lameduckMs } = this.#lifecycle;
    if (lameduckMs > 0) {
      log.info("Ending: serves on for a while", { lameduckMs });
      await clock.sleep(lameduckMs);
    }
    await this.runtime.close();
  }

  #read(): { blocks: readonly ServerBlock[]; hash: string } {
    const { file, port, environmentVariable } = this.#options;
    let text: string;
    try {
      text = this.#options.text ?? readFileSync(file, "utf8");
    } catch (error) {
      throw new DNSError("Corefile", `Cannot read ${file}: ${messageOf(error)}`, { cause: error });
    }
    const folder = dirname(file);
    const imported: string[] = [];
    const blocks = parseCorefile(text, {
      file,
      port,
      environmentVariable,
      readImport: (pattern) => {
        const found = globSync(pattern, { cwd: folder });
        if (found.length === 0) throw new Error("no such file");
        return found.sort().map((name) => {
          const path = isAbsolute(name) ? name : join(folder, name);
          const content = readFileSync(path, "utf8");
          imported.push(content);
          return { file: path, text: content };
        });
      },
    });
    if (blocks.length === 0) throw new DNSError("Corefile", `Cannot use ${file}: no server block, wanted one`);
    const hash = createHash("sha512").update([text, ...imported].join("\0"));
    return { blocks, hash: hash.digest("hex") };
  }

  #build(blocks: readonly ServerBlock[]): { instance: Instance; http: HTTPRegistry } {
    const http = new HTTPRegistry();
    return { instance: buildInstance(blocks, this.#environment(http, dirname(this.#options.file))), http };
  }

  #environment(http: HTTPRegistry, folder: string): Environment {
    const { log, environmentVariable, onFatal, clock = realClock } = this.#options;
    const resolve = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
    return {
      clock,
      log,
      random: systemRandom,
      transport: plainTransport,
      http,
      readFile: (path) => readFileSync(resolve(path), "utf8"),
      readFolder: (path) => readdirSync(resolve(path)),
      interfaceAddresses,
      environmentVariable,
      fatal: onFatal,
      reload: () => void this.reload(),
      lifecycle: this.#lifecycle,
    };
  }
}

/** Link-local addresses mean something on their interface only, and say so. */
function interfaceAddresses(name: string): readonly string[] {
  return (networkInterfaces()[name] ?? []).map(({ address }) =>
    /^fe[89ab]/i.test(address) ? `${address}%${name}` : address,
  );
}
