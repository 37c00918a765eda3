/**
 * /dev, /proc and /sys of a container as shell lines. Pure; the root is the working folder, its own pid and network
 * namespace are entered.
 *
 * Invariant: nothing here lets a container change the host, also where its user is the host's root: devices are the
 * harmless few, /sys and the settings in /proc are read-only, what tells of the kernel's memory and keys is masked.
 * Source: the OCI runtime specification's default devices; runc's default masked and read-only paths.
 */

import { quote } from "./mount-script.ts";

const devices = ["null", "zero", "full", "random", "urandom", "tty"];
const readOnlySettings = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
const maskedFiles = ["kcore", "keys", "latency_stats", "sched_debug", "timer_list", "timer_stats"];
const maskedFolders = ["proc/acpi", "proc/asound", "proc/scsi", "sys/firmware"];

/** No program, device or set-uid bit counts on these file systems. */
const inert = "nosuid,nodev,noexec";

const devLines: readonly string[] = [
  "mount -t tmpfs -o nosuid,noexec,mode=755,size=64k dev dev",
  `for f in ${devices.join(" ")}`,
  'do if [ -e /dev/$f ]; then : >dev/$f; echo "/dev/$f $PWD/dev/$f none bind"; fi; done >table',
  "mkdir dev/shm dev/pts",
  `mount -t tmpfs -o ${inert},mode=1777,size=64m shm dev/shm`,
  // Refused inside some container hosts: then there are no terminals.
  "if mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=620 devpts dev/pts 2>/dev/null",
  "then ln -s pts/ptmx dev/ptmx",
  "else rmdir dev/pts",
  "fi",
  "ln -s /proc/self/fd dev/fd",
  "ln -s fd/0 dev/stdin",
  "ln -s fd/1 dev/stdout",
  "ln -s fd/2 dev/stderr",
];

const procAndSysLines: readonly string[] = [
  `mount -t proc -o ${inert} proc proc`,
  // A new one, with the pod's own interfaces. Refused where parts of the host's are hidden: then /sys stays empty.
  `mount -t sysfs -o ro,${inert} sysfs sys 2>/dev/null || true`,
  `for f in ${readOnlySettings.join(" ")}`,
  `do if [ -e proc/$f ]; then echo "$PWD/proc/$f $PWD/proc/$f none bind,ro,${inert}"; fi; done >>table`,
  `for f in ${maskedFiles.join(" ")}`,
  'do if [ -e proc/$f ]; then echo "/dev/null $PWD/proc/$f none bind"; fi; done >>table',
  `for d in ${maskedFolders.join(" ")}`,
  `do if [ -d $d ]; then echo "none $PWD/$d tmpfs ro,${inert},size=4k"; fi; done >>table`,
  // One program for them all: a container starts the sooner.
  "mount -a -T table",
  "rm table",
];

/** Lines that fill the empty folders `dev`, `proc` and `sys`; `words` is a file outside for /dev/termination-log. */
export function kernelFileSystemLines(words: string | undefined): readonly string[] {
  if (words === undefined) return [...devLines, ...procAndSysLines];
  // Mounted with all the others: no further program runs.
  const line = `: >dev/termination-log; echo ${quote(words)} "$PWD/dev/termination-log none bind" >>table`;
  return [...devLines, line, ...procAndSysLines];
}
