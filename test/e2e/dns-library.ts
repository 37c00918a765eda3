/**
 * The DNS cases asked by libraries instead of dig: c-ares (node:dns, a stub resolver as programs have it, over UDP, and
 * TCP for what is cut), and dns-packet over TCP, TLS and HTTPS.
 *
 *   Case ─▶ ask ─▶ `RCODE data data`, as dns.test.ts has it of dig
 */
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { request } from "node:https";
import { connect, type Socket } from "node:net";
import { connect as connectTLS } from "node:tls";
import dnsPacket, { type Answer, type DecodedPacket } from "dns-packet";
import { errnoOf } from "#lib/errors.ts";
import type { Case } from "./dns-cases.ts";

type Transport = "tcp" | "tls" | "https";

/** One answer as dig prints its data. */
function dataOf(record: Answer): string {
  if (record.type === "SRV") {
    const { priority, weight, port, target } = record.data;
    return `${priority} ${weight} ${port} ${target}.`;
  }
  if (record.type === "CNAME" || record.type === "PTR" || record.type === "NS") return `${record.data}.`;
  const { data } = record as { readonly data: unknown };
  return record.type === "TXT" ? `"${String(data)}"` : String(data);
}

function read({ rcode, answers = [], authorities = [] }: DecodedPacket): string {
  const isNegative = authorities.some(({ type }) => type === "SOA");
  return [rcode, ...(isNegative ? ["SOA"] : []), ...answers.map(dataOf).sort()].join(" ");
}

function encode(query: string, id: number): Buffer {
  const [name = "", type = "A"] = query.split(" ");
  return dnsPacket.encode({ type: "query", id, flags: 0x100, questions: [{ name, type }] });
}

/** All cases, pipelined on one connection; answers come in any order. */
async function askStream(socket: Socket, cases: readonly Case[]): Promise<readonly string[]> {
  socket.write(
    Buffer.concat(
      cases.flatMap(([query], id) => {
        const message = encode(query, id);
        return [Buffer.from([message.length >> 8, message.length & 255]), message];
      }),
    ),
  );
  const found = new Map<number, string>();
  let pending = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= pending.readUInt16BE(0) + 2) {
      const end = pending.readUInt16BE(0) + 2;
      const packet = dnsPacket.decode(pending.subarray(2, end));
      found.set(packet.id, read(packet));
      pending = Buffer.from(pending.subarray(end));
    }
    if (found.size === cases.length) break;
  }
  return cases.map((_, id) => found.get(id) ?? "");
}

async function askHTTPS(port: number, query: string): Promise<string> {
  const asked = request({
    host: "127.0.0.1",
    port,
    path: `/dns-query?dns=${encode(query, 0).toString("base64url")}`,
    rejectUnauthorized: false,
    agent: false,
  });
  asked.end();
  const [response] = (await once(asked, "response")) as [AsyncIterable<Buffer>];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return read(dnsPacket.decode(Buffer.concat(chunks)));
}

/** What a resolver on loopback says of all cases, in their order. */
export async function askByLibrary(
  transport: Transport,
  port: number,
  cases: readonly Case[],
): Promise<readonly string[]> {
  if (transport === "https") {
    const found: string[] = [];
    for (const [query] of cases) found.push(await askHTTPS(port, query));
    return found;
  }
  if (transport === "tcp") return askStream(connect(port, "127.0.0.1"), cases);
  return askStream(connectTLS({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["dot"] }), cases);
}

/** Those of the cases whose types c-ares gives out whole: answers alone, without aliases, or which failure. */
export function isForCAres([query]: Case): boolean {
  return /^(?!ext)\S+ (A|AAAA|PTR)$/.test(query);
}

/** What c-ares says: addresses or names, sorted, or why not. */
export async function askByCAres(port: number, cases: readonly Case[]): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: 5000, tries: 2 });
  resolver.setServers([`127.0.0.1:${port}`]);
  return Promise.all(
    cases.map(async ([query]) => {
      const [name = "", type = "A"] = query.split(" ");
      try {
        const found = (await resolver.resolve(name, type)) as unknown as readonly string[];
        return ["NOERROR", ...found.map((each) => (type === "PTR" ? `${each}.` : each)).sort()].join(" ");
      } catch (error) {
        const code = errnoOf(error);
        return code === "ENOTFOUND" ? "NXDOMAIN SOA" : code === "ENODATA" ? "NOERROR SOA" : String(code);
      }
    }),
  );
}
