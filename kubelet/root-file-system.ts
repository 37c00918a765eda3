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
  /** What follows the host name in the pod's full name; undefined: nothing. */
  readonly domain?: string | undefined;
  readonly hostAliases?: readonly { readonly ip: string; readonly hostnames?: readonly string[] }[];
  readonly podIP: string;
  readonly namespace: string;
  /** The cluster's DNS address. */
  readonly nameserver: string;
  readonly nodeBinary: string;
  readonly imageDirectory: string | undefined;
  readonly mounts: readonly Mount[];
  readonly workingDir: string;
  /** The file for the container's last words; `target` may lie in /dev. */
  readonly words?: { readonly source: string; readonly target: string };
}

/** Where last words are left unless a container says otherwise. */
const usualWords = "/dev/termination-log";

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

/** A line that writes a file without a further program: a container starts the sooner. */
function textFile(file: string, lines: readonly string[]): string {
  return `printf '%s\\n' ${lines.map(quote).join(" ")} >${file}`;
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

/**
 * Mounts what no container can have touched, at a place in the root where none has mounted yet: without the care that
 * `bind` takes, and so the sooner.
 */
function hostLines(source: string, target: string): string[] {
  return [`mount -c --rbind ${quote(source)} "$PWD/${target}"`, `read_only "$PWD/${target}"`];
}

/** /etc/hosts, in the reference kubelet's layout. */
function hostsLines({ hostname, domain, hostAliases = [], podIP }: RootFileSystem): string[] {
  const names = domain === undefined ? hostname : `${hostname}.${domain}\t${hostname}`;
  const aliases = hostAliases
    .map(({ ip, hostnames = [] }) => [ip, ...hostnames].filter((word) => /^[\w.:-]+$/.test(word)))
    .filter((words) => words.length > 1)
    .map((words) => words.join("\t"));
  return [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    `${podIP}\t${names}`,
    ...(aliases.length === 0 ? [] : ["", "# Entries added by HostAliases.", ...aliases]),
  ];
}

function etcLines(root: RootFileSystem): string[] {
  const { hostname, namespace, nameserver } = root;
  const search = [`${namespace}.svc.cluster.local`, "svc.cluster.local", "cluster.local"].join(" ");
  return [
    "mkdir etc",
    textFile("etc/passwd", [
      "root:x:0:0:root:/root:/bin/sh",
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    ]),
    textFile("etc/group", ["root:x:0:", "nogroup:x:65534:"]),
    textFile("etc/nsswitch.conf", ["passwd: files", "group: files", "hosts: files dns"]),
    textFile("etc/resolv.conf", [`nameserver ${nameserver}`, `search ${search}`, "options ndots:5"]),
    textFile("etc/hosts", hostsLines(root)),
    textFile("etc/hostname", [hostname]),
    // The dynamic linker, Debian's alternatives, time zones and trusted certificates come from the host.
    'set --; for f in ld.so.cache localtime services protocols; do if [ -e /etc/$f ]; then set -- "$@" /etc/$f; fi; done',
    '[ $# -eq 0 ] || cp -L "$@" etc',
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
  const { hostname, nodeBinary, imageDirectory, mounts, words } = root;
  const workingDir = join("/", root.workingDir);
  const image = imageDirectory === undefined ? [] : ["mkdir app", ...hostLines(imageDirectory, "app")];
  return [
    mountFunctions,
    "mkdir -p /run/wherry/root",
    "mount -t tmpfs -o mode=755,size=256m root /run/wherry/root",
    "cd /run/wherry/root",
    "mkdir usr dev sys proc tmp run var var/tmp opt root home old",
    "chmod 1777 tmp var/tmp",
    // As everywhere: what is mounted below /var/run is found below /run, too.
    "ln -s /run var/run",
    ": >staged",
    "mount --rbind /usr usr",
    'read_only "$PWD/usr"',
    'set --; for d in bin sbin lib lib32 lib64 libx32; do if [ -e /$d ]; then set -- "$@" /$d; fi; done',
    '[ $# -eq 0 ] || cp -a --no-preserve=ownership "$@" .',
    ...kernelFileSystemLines(words?.target === usualWords ? words.source : undefined),
    ...etcLines(root),
    "mkdir -p opt/node/bin",
    ": >opt/node/bin/node",
    ...hostLines(nodeBinary, "opt/node/bin/node"),
    ...image,
    ...mounts.map(bindLine),
    ...(words === undefined || words.target === usualWords ? [] : [bindLine({ ...words, readOnly: false })]),
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
