/**
 * Broken environments of a test's own: what the command sees of the machine is changed in a mount namespace that
 * ends with the command, or in files of the test's own state folder. Nothing of the machine itself is touched.
 */
import { spawnSync } from "node:child_process";
import { type TestCluster } from "../cluster.ts";
import { readRecord } from "../../../cli/launcher/state-dir.ts";
import { join } from "node:path";

/** The words that run a command after `script`, as root of a user and mount namespace of its own. */
export function within(script: string): readonly string[] {
  return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", `${script}; exec "$@"`, "sh"];
}

/** nft is there, but is no program. */
export const withoutNft: readonly string[] = within(
  'n=$(PATH=$PATH:/usr/sbin command -v nft); a=$(command -v apt-get); mount --bind /dev/null "$n"; [ -z "$a" ] || mount --bind /dev/null "$a"',
);

/** The kernel lets nobody make user namespaces. */
export const withoutNamespaces: readonly string[] = within("echo 0 >/proc/sys/user/max_user_namespaces");

/** The resolver's file is empty, as a dangling link is. */
export const withoutResolver: readonly string[] = within("mount --bind /dev/null /etc/resolv.conf");

/** `folder` cannot be written, not even by root. */
export const readOnly = (folder: string): readonly string[] => within(`mount -t tmpfs -o ro none ${folder}`);

/** Runs a shell script in the namespaces of a running cluster, in those of its first process or of a node. */
export function insideCluster(cluster: TestCluster, script: string, node?: string): string {
  const record = readRecord(join(cluster.stateHome, "wherry", cluster.name));
  if (record === undefined) throw new Error(`Cannot enter cluster ${cluster.name}: it does not run`);
  const enter = ["-t", String(record.initPid), "--user", "--preserve-credentials", "--net", "--mount", "--pid"];
  const netns = node === undefined ? [] : ["nsenter", `--net=/run/netns/${node}`, "--"];
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
  const done = spawnSync("nsenter", [...enter, "--", ...netns, "sh", "-ec", script], { encoding: "utf8", env });
  if (done.status === 0) return done.stdout;
  throw new Error(`Cannot run ${script}: ${done.stderr || String(done.error)}`);
}
