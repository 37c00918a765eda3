/**
 * Questions over HTTPS (RFC 8484): POST, with id 0.
 *
 *   ask ─▶ undici ─▶ application/dns-message ─▶ Reply
 *
 * Loaded when an https:// upstream is first asked.
 */
import { Agent, request } from "undici";
import type { Clock } from "#lib/clock.ts";
import { messageBytesMax } from "../wire/constants.ts";
import { decodeMessage } from "../wire/message.ts";
import { nameAsSent } from "../wire/query.ts";
import { encodeUpstreamQuery, type Reply } from "./exchange.ts";
import type { Ask } from "./udp.ts";

export interface HTTPSOptions {
  readonly clock: Clock;
  readonly tls: { readonly servername?: string; readonly cert?: string; readonly key?: string; readonly ca?: string };
}

/** One agent for each TLS configuration: its connections are kept. */
const agents = new WeakMap<object, Agent>();

/** The reply; undefined for any failure. */
export async function askHTTPS(
  url: string,
  { query, timeoutMs }: Ask,
  { tls }: HTTPSOptions,
): Promise<Reply | undefined> {
  let agent = agents.get(tls);
  if (agent === undefined) agents.set(tls, (agent = new Agent({ connect: tls, allowH2: true })));
  try {
    const response = await request(url, {
      method: "POST",
      dispatcher: agent,
      headers: { "content-type": "application/dns-message", accept: "application/dns-message" },
      body: encodeUpstreamQuery(query, 0, nameAsSent(query)),
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.statusCode !== 200) {
      await response.body.dump();
      return undefined;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > messageBytesMax) return undefined;
      chunks.push(chunk);
    }
    const message = decodeMessage(Buffer.concat(chunks));
    return message?.question?.name === query.name ? { kind: "message", message } : undefined;
  } catch {
    // Counted by who asked, as any other silence.
    return undefined;
  }
}
