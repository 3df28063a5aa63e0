#!/usr/bin/env bash
# Says whether a disk image is what a guest may go on from. Works on a copy, mounts nothing, needs no rights but to read the image;
# while something writes the image, the answer is about no moment at all.
#
#   scripts/check-disk.sh file-system IMAGE       ext4: the journal and the list of orphans are dealt with as a mount does, then e2fsck -fn
#   scripts/check-disk.sh redis IMAGE [WRITES]    the append-only file of hf.redis=disk, taken out of the ext4, by redis-check-aof; with
#                                                 WRITES: does it hold SET w:N N for every N from 1 to WRITES?
#   scripts/check-disk.sh pattern IMAGE SLOTS     what hf.diskwriter wrote: is it all there up to one sequence, and nothing behind it?
#
# The last line of the output begins with "clean: " (exit status 0) or "not clean: " (1); 2: usage, 3: a tool is missing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH="$PATH:/usr/sbin:/sbin"

usage() {
  sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
  exit 2
}
need() { # $1: a program, $2: its Debian package
  command -v "$1" >/dev/null || { echo "holdfast: $1 is missing: sudo apt-get install -y $2" >&2; exit 3; }
}
not_clean() {
  echo "not clean: $*"
  exit 1
}

# The image's content as raw bytes in $copy.
take_copy() {
  copy="$scratch/raw"
  # 51 46 49 fb: the magic of qcow2.
  if [ "$(head -c 4 "$1" | od -An -t x1 | tr -d ' ')" = 514649fb ]; then
    need qemu-img qemu-utils
    qemu-img convert -O raw "$1" "$copy"
  else
    cp --sparse=always "$1" "$copy"
  fi
}

# What the next mount would do by itself, and no repair.
settle() {
  local status=0
  need e2fsck e2fsprogs
  e2fsck -p "$copy" >"$scratch/settled" 2>&1 || status=$?
  cat "$scratch/settled"
  [ "$status" -lt 4 ] || not_clean "e2fsck -p ended with status $status"
  if grep -q 'with errors' "$scratch/settled"; then not_clean "the file system is marked as having errors"; fi
}

file_system() {
  local status=0
  settle
  e2fsck -fn "$copy" 2>&1 || status=$?
  [ "$status" = 0 ] || not_clean "e2fsck -fn ended with status $status"
  echo "clean: the file system on $1"
}

redis() {
  local manifest="$scratch/appendonlydir/appendonly.aof.manifest" status=0
  need debugfs e2fsprogs
  need redis-check-aof redis-tools
  settle
  # Owners cannot be kept without being root; that is no matter here.
  debugfs -R "rdump /appendonlydir $scratch" "$copy" >"$scratch/debugfs" 2>&1
  [ -s "$manifest" ] || { cat "$scratch/debugfs"; not_clean "no append-only file of Redis on $1"; }
  redis-check-aof "$manifest" 2>&1 || status=$?
  [ "$status" = 0 ] || not_clean "redis-check-aof ended with status $status"
  [ $# = 1 ] || writes "$2"
  echo "clean: the append-only file of Redis on $1"
}

# $1: the number of writes. A command is a line with the number of its words, then length and word by turns.
writes() {
  local directory="$scratch/appendonlydir" missing
  if [ "$(awk '$6 == "b" && $4 > 1' "$directory/appendonly.aof.manifest")" ]; then
    not_clean "Redis has rewritten the append-only file, so that its writes cannot be counted any more"
  fi
  missing=$(tr -d '\r' <"$directory/$(awk '$6 == "i" { name = $2 } END { print name }' "$directory/appendonly.aof.manifest")" |
    awk -v writes="$1" '
      $0 == "SET" { at = NR }
      at && NR == at + 2 { key = $0 }
      at && NR == at + 4 && key == "w:" $0 && $0 + 0 >= 1 && $0 + 0 <= writes && !($0 in seen) { seen[$0]; found++ }
      END { print writes - found }')
  echo "writes missing in the append-only file: $missing of $1"
  [ "$missing" = 0 ] || not_clean "$missing of $1 writes are missing in the append-only file"
}

[ $# -ge 2 ] || usage
[ -r "$2" ] || { echo "holdfast: $2 is not there, or may not be read" >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
take_copy "$2"
case $1:$# in
  file-system:2) file_system "$2" ;;
  redis:2) redis "$2" ;;
  redis:3)
    [[ $3 =~ ^[0-9]+$ ]] || usage
    redis "$2" "$3" ;;
  pattern:3)
    . "$here/jdk.sh"
    "$HOLDFAST_JAVA" "$here/DiskPattern.java" "$copy" "$3" ;;
  *) usage ;;
esac
