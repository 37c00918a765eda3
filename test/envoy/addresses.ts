/**
 * Addresses of a run's upstreams in requests and answers, which differ from run to run.
 *
 *   "@FORM:HOST@" in a case ─▶ fill() ─▶ text with the address        answer ─▶ hide() ─▶ the same words again
 *
 * Forms: none (as it is), `base64`, and Envoy's cookie of a stateful session: `proto`, `expired`, `lasting`.
 */
import { Writer } from "#api/xds/wire.ts";

export class Addresses {
  readonly #words = new Map<string, string>();
  readonly #cookies = new Map<string, string>();

  constructor(ports: Readonly<Record<string, number>>) {
    for (const [host, port] of Object.entries(ports)) {
      const address = `127.0.0.1:${port}`;
      this.#words.set(`@${host}@`, address);
      this.#words.set(`@base64:${host}@`, Buffer.from(address).toString("base64"));
      this.#words.set(`@proto:${host}@`, cookieOf(address, undefined));
      this.#words.set(`@expired:${host}@`, cookieOf(address, 1));
      this.#words.set(`@lasting:${host}@`, cookieOf(address, 2 ** 40));
      this.#cookies.set(Buffer.from(cookieOf(address, undefined), "base64").toString("latin1"), host);
    }
  }

  fill(text: string): string {
    return text.replaceAll(/@[a-z0-9:]+@/g, (word) => this.#words.get(word) ?? word);
  }

  hide(text: string): string {
    const dated = text.replaceAll(/"([A-Za-z0-9+/]+=*)"/g, (whole, value: string) => {
      const bytes = Buffer.from(value, "base64").toString("latin1");
      const [, host] = [...this.#cookies].find(([cookie]) => bytes.startsWith(`${cookie}\x10`)) ?? [];
      return host === undefined ? whole : `"@until:${host}@"`;
    });
    return [...this.#words].reduce((before, [word, address]) => before.replaceAll(address, word), dated);
  }
}

/** `{ address = 1, expires = 2 }`, in s. */
function cookieOf(address: string, expires: number | undefined): string {
  const writer = new Writer();
  writer.tag(1, 2);
  writer.bytes(Buffer.from(address));
  if (expires !== undefined) {
    writer.tag(2, 0);
    writer.varint(expires);
  }
  return writer.finish().toString("base64");
}
