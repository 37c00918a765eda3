/**
 * A container's root file system as a shell script. Pure; runs in the container's own mount and pid namespaces.
 *
 *   tmpfs ◀─ /usr of the host (read-only), links, own /dev, /proc and /sys, a small /etc, image directory at /app,
 *            the pinned Node at /opt/node/bin, volumes ─▶ pivot_root ─▶ the host's file system is out of reach
 *
 * Invariant: of the host's files nothing is writable inside, also when the cluster is run by root, whose containers own
 * the host's files.
 * Overlay mounts over / are refused without privileges; this is not.
 */
import { join } from "node:path";
import { kernelFileSystemLines } from "./kernel-file-systems.ts";
import { mountFunctions, quote } from "./mount-script.ts";

export interface Mount {
  /** Absolute path outside; a file or a folder. */
  readonly source: string;
  /** Absolute path inside. */
  readonly target: string;
  readonly readOnly: boolean;
  /** The folder that `source` must lie in when its links are resolved; absent for what no container can write to. */
  readonly within?: string;
}

export interface RootFileSystem {
  readonly hostname: string;
  readonly podIP: string;
  readonly namespace: string;
  /** The cluster's DNS address. */
  readonly nameserver: string;
  readonly nodeBinary: string;
  readonly imageDirectory: string | undefined;
  readonly mounts: readonly Mount[];
  readonly workingDir: string;
}

/** PATH of every container that does not set its own. */
export const containerPath = "/opt/node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Capabilities that a container keeps: those of Docker's default set that a program may need; none that touches
 * networks or mounts. Not net_raw: since Linux 5.17 it suffices for SO_MARK, by which a pod could pass its sidecar by.
 */
const capabilities = "-all,+chown,+dac_override,+fowner,+kill,+net_bind_service,+setuid,+setgid";

/** Drops privileges for good: the command that runs what follows it without them. */
export const dropPrivileges: readonly string[] = [
  "setpriv",
  `--bounding-set=${capabilities}`,
  "--inh-caps=-all",
  "--no-new-privs",
];

function heredoc(file: string, lines: readonly string[]): string {
  return [`cat >${file} <<'END_OF_FILE'`, ...lines, "END_OF_FILE"].join("\n");
}

function bindLine({ source, target, readOnly, within }: Mount): string {
  const words = [
    quote(source),
    quote(target),
    readOnly ? "ro" : "rw",
    ...(within === undefined ? [] : [quote(within)]),
  ];
  return `bind ${words.join(" ")}`;
}

function etcLines({ hostname, podIP, namespace, nameserver }: RootFileSystem): string[] {
  const search = [`${namespace}.svc.cluster.local`, "svc.cluster.local", "cluster.local"].join(" ");
  return [
    "mkdir etc",
    heredoc("etc/passwd", [
      "root:x:0:0:root:/root:/bin/sh",
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    ]),
    heredoc("etc/group", ["root:x:0:", "nogroup:x:65534:"]),
    heredoc("etc/nsswitch.conf", ["passwd: files", "group: files", "hosts: files dns"]),
    heredoc("etc/resolv.conf", [`nameserver ${nameserver}`, `search ${search}`, "options ndots:5"]),
    heredoc("etc/hosts", ["127.0.0.1\tlocalhost", `${podIP}\t${hostname}`]),
    heredoc("etc/hostname", [hostname]),
    // The dynamic linker, Debian's alternatives, time zones and trusted certificates come from the host.
    "for f in ld.so.cache localtime services protocols; do if [ -e /etc/$f ]; then cp -L /etc/$f etc/$f; fi; done",
    "for d in alternatives ssl ca-certificates ld.so.conf.d; do",
    "  if [ -d /etc/$d ]; then mkdir etc/$d; mount --rbind /etc/$d etc/$d; fi",
    "done",
    // The host's private keys are no business of a container's.
    "if [ -d etc/ssl/private ]; then mount -t tmpfs -o nosuid,nodev,noexec,size=4k none etc/ssl/private; fi",
    'read_only "$PWD/etc"',
  ];
}

/** The script that ends in the container's root, working folder and host name. Needs `set -e` and own namespaces. */
export function planRootFileSystem(root: RootFileSystem): string {
  const { hostname, nodeBinary, imageDirectory, mounts } = root;
  const workingDir = join("/", root.workingDir);
  const image = imageDirectory === undefined ? [] : [{ source: imageDirectory, target: "/app", readOnly: true }];
  return [
    mountFunctions,
    "mkdir -p /run/wherry/root",
    "mount -t tmpfs -o mode=755,size=256m root /run/wherry/root",
    "cd /run/wherry/root",
    "mkdir usr dev sys proc tmp run var var/tmp opt root home old",
    "chmod 1777 tmp var/tmp",
    ": >staged",
    "mount --rbind /usr usr",
    'read_only "$PWD/usr"',
    "for d in bin sbin lib lib32 lib64 libx32; do if [ -e /$d ]; then cp -a --no-preserve=ownership /$d $d; fi; done",
    ...kernelFileSystemLines,
    ...etcLines(root),
    ...[{ source: nodeBinary, target: "/opt/node/bin/node", readOnly: true }, ...image, ...mounts].map(bindLine),
    `hostname ${quote(hostname)}`,
    "rm staged",
    "pivot_root . old",
    "cd /",
    "umount -l /old",
    "rmdir /old",
    // Only now: a link in a volume can lead no further than the root.
    `mkdir -p ${quote(workingDir)}`,
    `cd ${quote(workingDir)}`,
  ].join("\n");
}
