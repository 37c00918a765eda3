/**
 * The request that is to be explained, from the words of the command line. Pure.
 *
 *   GET http://reviews:9080/x -H 'end-user: jason' ─▶ parseRequest() ─▶ ExplainedRequest
 */
import { messageOf } from "#lib/errors.ts";
import { type RequestHead, parseRequestHead } from "#proxy/l7/http1/request.ts";
import { CliError } from "../../errors.ts";

export interface ExplainedRequest {
  /** `GET http://reviews:9080/x` */
  readonly text: string;
  /** As it stands in the URL. */
  readonly hostname: string;
  readonly port: number;
  /** Its bytes are hidden from proxies: only the connection can be explained. */
  readonly isTLS: boolean;
  /** As the HTTP engine would read it. */
  readonly head: RequestHead;
}

/** Throws CliError Usage for what is no request. */
export function parseRequest(method: string, url: string, headers: readonly string[]): ExplainedRequest {
  const refuse = (why: string): CliError => new CliError("Usage", `Cannot explain ${method} ${url}: ${why}`);
  if (!URL.canParse(url)) throw refuse("it is no URL, wanted http://HOST[:PORT]/PATH");
  const { protocol, hostname, port, host, pathname, search } = new URL(url);
  const isTLS = protocol === "https:";
  if (!isTLS && protocol !== "http:") throw refuse(`scheme ${protocol.slice(0, -1)}, wanted http or https`);
  const lines = headers.map((header) => {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(header) ?? [];
    if (name === undefined) throw refuse(`header ${JSON.stringify(header)}, wanted 'name: value'`);
    return `${name}: ${value ?? ""}\r\n`;
  });
  const hasHost = lines.some((line) => /^host:/i.test(line));
  const text = `${method.toUpperCase()} ${pathname}${search} HTTP/1.1\r\n${hasHost ? "" : `Host: ${host}\r\n`}${lines.join("")}\r\n`;
  try {
    const head = parseRequestHead(text);
    const portNumber = port === "" ? (isTLS ? 443 : 80) : Number(port);
    return { text: `${head.method} ${url}`, hostname, port: portNumber, isTLS, head };
  } catch (error) {
    throw refuse(messageOf(error));
  }
}

/**
 * The full names that a pod's resolver tries for `hostname`, in order: its search list comes first for names of
 * fewer than five dots (resolv.conf(5), `ndots:5` as Kubernetes sets it).
 */
export function namesToTry(hostname: string, namespace: string): readonly string[] {
  if (hostname.endsWith(".")) return [hostname.slice(0, -1)];
  const domains = [`${namespace}.svc.cluster.local`, "svc.cluster.local", "cluster.local"];
  const searched = domains.map((domain) => `${hostname}.${domain}`);
  const dots = hostname.split(".").length - 1;
  return dots >= 5 ? [hostname, ...searched] : [...searched, hostname];
}

/**
 * Which of `names` has the addresses: the first that has some, or of the later ones the first that has one of them,
 * too: the node's resolver answers for the first domain of the search list what it found under the others (autopath).
 * `answers` are the addresses of each name, in the order of `names`. Undefined when no name has an address.
 */
export function pickResolved(
  names: readonly string[],
  answers: readonly (readonly string[])[],
): { readonly name: string; readonly addresses: readonly string[] } | undefined {
  const found = names.flatMap((name, at) => {
    const addresses = answers[at] ?? [];
    return addresses.length === 0 ? [] : [{ name, addresses }];
  });
  const [first, ...others] = found;
  if (first === undefined) return undefined;
  const same = others.find(({ addresses }) => addresses.some((address) => first.addresses.includes(address)));
  return { name: (same ?? first).name, addresses: first.addresses };
}
