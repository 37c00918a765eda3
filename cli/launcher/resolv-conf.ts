/**
 * What a process in the cluster resolves names with. Pure.
 *
 *   namespace ─▶ formatResolvConf ─▶ fabric.ts (everybody's), withResolvConf ─▶ sh.ts (one command's)
 *
 * Containers have a file of their own, with the same lines: kubelet/root-file-system.ts.
 */
import { addresses } from "../ipc.ts";

/** As pods of the namespace have it. `namespace` is a DNS label. */
export function formatResolvConf(namespace: string): string {
  return [
    `nameserver ${addresses.dns}`,
    `search ${namespace}.svc.cluster.local svc.cluster.local cluster.local`,
    "options ndots:5",
    "",
  ].join("\n");
}

/** The namespace whose search list the cluster's own resolv.conf has. */
export const usualNamespace = "default";

/** In a mount namespace of the command's own, so that nobody else sees the file. A bind mount outlives the name of its file. */
const script = [
  "target=$(readlink -m /etc/resolv.conf)",
  'if [ -e "$target" ]; then',
  "file=$(mktemp /run/wherry/resolv.XXXXXX)",
  'printf %s "$1" >"$file"',
  'chmod 644 "$file"',
  'mount --bind "$file" "$target"',
  'rm "$file"',
  "fi",
  "shift",
  'exec "$@"',
].join("\n");

/** The command that runs `command` with the search list of the namespace; for inside the cluster. */
export function withResolvConf(namespace: string, command: readonly string[]): readonly string[] {
  if (namespace === usualNamespace) return command;
  return ["unshare", "--mount", "dash", "-ec", script, "sh", formatResolvConf(namespace), ...command];
}
