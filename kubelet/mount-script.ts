/**
 * The shell functions by which a container's root is put together. Pure text; needs `set -e`, the root as working
 * folder and a mount namespace of its own. `root-file-system.ts` calls them.
 *
 * Invariant: other containers of the pod can change links in a volume at any moment, and nothing comes of it. A source
 * is opened once, its path is read back from the descriptor and the descriptor is mounted (CVE-2021-30465). It is made
 * read-only at a place that they do not see and moved to its target, which is looked up inside the new root only.
 */

/** Text as one word for the shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * `read_only PATH` for all that is mounted at or below PATH; `bind SOURCE TARGET ro|rw [VOLUME]`, where SOURCE with its
 * links resolved must lie in VOLUME. Stages at the folder `old` and the file `staged`; needs the root's /proc and /usr.
 */
export const mountFunctions: string = String.raw`
# A user namespace locks flags such as nosuid and nodev: a remount must name them again. Nothing here needs set-uid
# programs, and file capabilities that no container can have would only keep their programs from running.
read_only() {
  while read -r _ _ _ _ at flags _; do
    case $at in *\\*) at=$(printf %b "$at") ;; esac
    case $at in "$1" | "$1"/*) mount -c -o "remount,bind,ro,nosuid${"$"}{flags#r?}" "$at" ;; esac
  done </proc/self/mountinfo
}
bind() {
  exec 9<"$1"
  from=$(readlink /proc/self/fd/9)
  case $from in
    "${"$"}{4:-$from}" | "$4"/*) ;;
    *) echo "Cannot mount $2: a link leads out of the volume, wanted a path inside" >&2; exit 1 ;;
  esac
  if [ -d /proc/self/fd/9 ]; then
    stage=old
    chroot . mkdir -p "$2"
  else
    stage=staged
    chroot . dash -c 'mkdir -p "$(dirname "$0")"; [ -e "$0" ] || : >"$0"' "$2"
  fi
  mount -c --rbind /proc/self/fd/9 "$stage"
  exec 9<&-
  if [ "$3" = ro ]; then read_only "$PWD/$stage"; fi
  chroot . mount -c --move "/$stage" "$2"
}`;
