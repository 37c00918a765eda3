/**
 * Whether the kernel and nft here can do what the proxy needs: asked with a table of its own, in one transaction that
 * also removes it.
 *
 *   main.ts ─▶ probeNftables ─▶ undefined, or a sentence with what is missing
 */
import { messageOf } from "#lib/errors.ts";
import { ProxyError } from "./errors.ts";
import type { Exec } from "./l4/exec.ts";
import { explainRefusal, wantedVersions } from "./l4/nft/refusal.ts";

const table = "ip wherry-proxy-probe";
const text = `add table ${table}
add map ${table} slots { typeof ip daddr . tcp dport . numgen inc mod 65536 : ip daddr . tcp dport ; }
add chain ${table} nat { type nat hook output priority -100 ; policy accept ; }
add rule ${table} nat meta l4proto tcp dnat ip to ip daddr . tcp dport . numgen inc mod 2 map @slots
delete table ${table}
`;

/** What is missing, in words; undefined when nothing is. */
export async function probeNftables(exec: Exec): Promise<string | undefined> {
  try {
    const { exitCode, stderr } = await exec(["nft", "-f", "-"], text);
    if (exitCode === 0) return undefined;
    return explainRefusal(stderr, wantedVersions);
  } catch (error) {
    const isMissing = error instanceof ProxyError && error.code === "CommandMissing";
    return isMissing ? `${error.message} (run as root: apt-get install -y nftables)` : messageOf(error);
  }
}
