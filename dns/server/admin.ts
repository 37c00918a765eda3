/**
 * Pages over HTTP: health, readiness, metrics. One server an address, kept over a reload.
 *
 *   plugins (page) ─▶ HTTPRegistry ─▶ AdminServers.use ─▶ GET
 */
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { messageOf } from "#lib/errors.ts";
import { DNSError } from "../errors.ts";

export interface Page {
  readonly status: number;
  readonly contentType?: string;
  readonly body: string;
}

type Pages = Map<string, () => Page>;

/** What the plugins of one configuration want to show. */
export class HTTPRegistry {
  readonly byAddress: Map<string, Pages> = new Map();

  /** Shows `page` at `path` of `address` (`:8080`, `127.0.0.1:9153`). The last one wins. */
  page(address: string, path: string, page: () => Page): void {
    const pages = this.byAddress.get(address) ?? new Map<string, () => Page>();
    this.byAddress.set(address, pages.set(path, page));
  }
}

/** The servers of a process. */
export class AdminServers {
  readonly #servers = new Map<string, { readonly server: Server; pages: Pages }>();

  /** Opens what is new, then closes what is gone. Rejects with CannotListen and leaves what was there. */
  async use({ byAddress }: HTTPRegistry): Promise<void> {
    const opened: string[] = [];
    try {
      for (const [address, pages] of byAddress) {
        if (this.#servers.has(address)) continue;
        this.#servers.set(address, await this.#open(address, pages));
        opened.push(address);
      }
    } catch (error) {
      for (const address of opened) await this.#close(address);
      throw error;
    }
    for (const [address, known] of this.#servers) {
      const pages = byAddress.get(address);
      if (pages === undefined) await this.#close(address);
      else known.pages = pages;
    }
  }

  /** The port of an address that was opened with port 0. */
  portOf(address: string): number | undefined {
    const bound = this.#servers.get(address)?.server.address() as AddressInfo | null | undefined;
    return bound?.port;
  }

  async close(): Promise<void> {
    for (const address of this.#servers.keys()) await this.#close(address);
  }

  async #open(address: string, pages: Pages): Promise<{ server: Server; pages: Pages }> {
    const [, host = "", port = ""] = /^(.*):([0-9]{1,5})$/.exec(address) ?? [];
    const held = { server: createServer({ requestTimeout: 10_000 }), pages };
    held.server.on("request", ({ url = "/", method }, response) => {
      const page = held.pages.get(url.split("?")[0] ?? "/");
      const {
        status,
        body,
        contentType = "text/plain; charset=utf-8",
      } = page === undefined ? { status: 404, body: "Not found\n" } : page();
      response.writeHead(status, { "content-type": contentType });
      response.end(method === "HEAD" ? "" : body);
    });
    try {
      const listening = once(held.server, "listening");
      held.server.listen({ port: Number(port), ...(host === "" ? {} : { host: host.replace(/^\[|\]$/g, "") }) });
      await listening;
    } catch (cause) {
      throw new DNSError("CannotListen", `Cannot listen on ${address}: ${messageOf(cause)}`, { cause });
    }
    return held;
  }

  async #close(address: string): Promise<void> {
    const held = this.#servers.get(address);
    if (held === undefined) return;
    this.#servers.delete(address);
    const down = once(held.server, "close");
    held.server.close();
    held.server.closeAllConnections();
    await down;
  }
}
