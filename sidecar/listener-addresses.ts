/**
 * Listeners that have the address of another one: a connection could go to one of them alone. Pure.
 *
 *   accepted listeners + those that came now ─▶ duplicateAddresses() ─▶ state.ts: what is refused
 *
 * As in Envoy it counts for listeners that do not bind, too, and addresses are compared as they are parsed (Envoy,
 * ListenerImpl::hasDuplicatedAddress). Port 0 is never a duplicate.
 */
import { SocketAddress, isIPv6 } from "node:net";
import type { CompiledListener } from "#proxy/l7/config/listener.ts";
import { type Place, messageAbout } from "./place.ts";

export interface PlacedListener {
  readonly compiled: Pick<CompiledListener, "address" | "port">;
  readonly place?: Place | undefined;
}

/** One message for each of `names` whose address another listener has, or an earlier one of them. */
export function duplicateAddresses(
  listeners: ReadonlyMap<string, PlacedListener>,
  names: ReadonlySet<string>,
): readonly string[] {
  const holders = new Map<string, string>();
  for (const [name, { compiled }] of listeners) if (!names.has(name)) holders.set(keyOf(compiled), name);
  const problems: string[] = [];
  for (const name of names) {
    const listener = listeners.get(name);
    if (listener === undefined || listener.compiled.port === 0) continue;
    const key = keyOf(listener.compiled);
    const holder = holders.get(key);
    if (holder === undefined) holders.set(key, name);
    else problems.push(tell(name, listener, called(holder, listeners.get(holder)!)));
  }
  return problems;
}

function tell(name: string, { compiled, place }: PlacedListener, holder: string): string {
  const { address, port } = compiled;
  const where = `${isIPv6(address) ? `[${address}]` : address}:${port}`;
  const field = `${place?.path ?? "Listener"}.address`;
  const message = `Cannot use ${field}: duplicate address ${where}, wanted another than that of ${holder}`;
  return messageAbout({ name, place }, message);
}

/** As the other end of a message. */
function called(name: string, { place }: PlacedListener): string {
  if (place === undefined) return `listener ${JSON.stringify(name)}`;
  return place.title === undefined ? place.path : `${place.path} (${place.title})`;
}

/** An address has several texts, but not an IPv4 one. */
function keyOf({ address, port }: PlacedListener["compiled"]): string {
  if (!isIPv6(address)) return `${address} ${port}`;
  const [bare, scope = ""] = address.split("%", 2);
  return `${new SocketAddress({ address: bare!, family: "ipv6" }).address}%${scope} ${port}`;
}
