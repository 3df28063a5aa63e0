#!/usr/bin/env bash
# Builds the guest that the demo, the tests and the measurements boot: a Debian cloud kernel and an initramfs with busybox, Redis
# and mke2fs, unpacked (never installed) from Debian packages. Prints the directory that holds vmlinuz and initrd.gz.
# Sourced, it offers holdfast_guest, which sets HOLDFAST_GUEST_DIR. A HOLDFAST_GUEST_DIR set beforehand is used as it is.
# With --storage: another one, with Debian's full kernel and its drivers for AHCI and virtio-scsi, which the cloud kernel leaves out;
# HOLDFAST_STORAGE_GUEST_DIR names it, if set.

holdfast_guest_fail() {
  printf 'holdfast: %s\n' "$@" >&2
  return 3
}

# The first of the names separated by | that apt knows: libraries were renamed between Debian releases.
holdfast_guest_package() {
  local name
  for name in ${1//|/ }; do
    if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then echo "$name"; return; fi
  done
  echo "${1%%|*}"
}

# Downloads the packages into the current directory and prints the name of the kernel's; fails where the lists are empty or stale.
# $1: the package that depends on the newest kernel.
holdfast_guest_download() {
  local kernel name packages=()
  kernel=$(apt-cache depends "$1" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | sort -V | tail -n 1)
  [ -n "$kernel" ] || { echo "apt knows no package $1" >&2; return 1; }
  for name in busybox-static redis-server redis-tools libc6 libatomic1 liblzf1 libjemalloc2 libstdc++6 libgcc-s1 libsystemd0 libcap2 \
    libgcrypt20 libgpg-error0 liblzma5 libzstd1 liblz4-1 'libssl3|libssl3t64' e2fsprogs 'libext2fs2|libext2fs2t64' libcom-err2 \
    libblkid1 libuuid1; do
    packages+=("$(holdfast_guest_package "$name")")
  done
  # No sandbox user: _apt cannot write to a directory below somebody's home.
  apt-get -q -o APT::Sandbox::User=root download "$kernel" "${packages[@]}" >&2 || return
  echo "$kernel"
}

# Package lists of our own, so that neither root nor a change to the system's lists is needed.
holdfast_guest_lists() {
  mkdir -p apt/lists/partial apt/cache/archives/partial
  printf 'Dir::State::lists "%s/apt/lists";\nDir::Cache "%s/apt/cache";\n' "$PWD" "$PWD" >apt/apt.conf
  export APT_CONFIG=$PWD/apt/apt.conf
  # One unreachable third-party source is no reason to give up; what matters shows in the download.
  apt-get -q -o APT::Sandbox::User=root update >&2 || echo "some lists were not read" >&2
}

# $1: machine code in hex with comments, $2: the program to make of it.
holdfast_guest_program() {
  # shellcheck disable=SC2059 # the escapes are the content
  printf "$(sed 's/#.*//' "$1" | tr -dc 0-9a-f | sed 's/../\\x&/g')" >"$2"
  chmod 755 "$2"
}

# Builds in the current (temporary) directory: out/vmlinuz and out/initrd.gz. $1: the directory of the guest's own scripts, $2: cloud or
# storage.
# Progress goes to descriptor 3, everything else to the log on descriptor 2.
holdfast_guest_build() {
  local sources=$1 newest kernel file module loader version modules
  modules=(failover net_failover virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_net virtio_blk virtio-rng
    crc16 mbcache jbd2 ext4)
  case $2 in
    cloud) newest=linux-image-cloud-amd64 ;;
    storage)
      newest=linux-image-amd64
      modules+=(scsi_common scsi_mod crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi sd_mod virtio_scsi libata libahci ahci) ;;
  esac
  echo "holdfast: fetching the guest's kernel and Redis from Debian ..." >&3
  if ! kernel=$(holdfast_guest_download "$newest"); then
    echo "holdfast: reading Debian's package lists ..." >&3
    holdfast_guest_lists
    kernel=$(holdfast_guest_download "$newest")
  fi

  echo "holdfast: packing the guest ..." >&3
  mkdir -p x root/{bin,data,dev,etc,lib/x86_64-linux-gnu,lib64,modules,proc,root,run,sys,tmp,usr/bin,usr/sbin} out
  for file in ./*.deb; do dpkg -x "$file" x; done
  version=${kernel#linux-image-}
  cp "x/boot/vmlinuz-$version" out/vmlinuz
  for file in x/bin/busybox x/usr/bin/busybox; do [ ! -f "$file" ] || cp "$file" root/bin/busybox; done
  cp -L x/usr/bin/redis-check-rdb root/usr/bin/redis-server
  for file in x/sbin/mke2fs x/usr/sbin/mke2fs; do [ ! -f "$file" ] || cp -L "$file" root/usr/sbin/mke2fs; done

  # In load order.
  for module in "${modules[@]}"; do
    file=$(find x -path '*/modules/*' -name "$module.ko*" -print -quit)
    # Absent means built into this kernel, as newer Debian kernels do with some of them.
    [ -n "$file" ] || continue
    case $file in
      *.ko) cp "$file" root/modules/ ;;
      *.ko.xz) xz -dc "$file" >"root/modules/$module.ko" ;;
      *.ko.zst) zstd -qdc "$file" >"root/modules/$module.ko" ;;
    esac
    echo "$module" >>root/modules/order
  done

  # The libraries that Redis and mke2fs really need, found by the guest's own loader among the unpacked packages.
  loader=$(find x -name ld-linux-x86-64.so.2 -print -quit)
  [ -n "$loader" ] || { echo "no ld-linux-x86-64.so.2 in the libc6 package" >&2; return 1; }
  cp -L "$loader" root/lib64/ld-linux-x86-64.so.2
  for file in root/usr/bin/redis-server root/usr/sbin/mke2fs; do
    "$loader" --library-path x/lib/x86_64-linux-gnu:x/usr/lib/x86_64-linux-gnu --list "$file" >>libraries || {
      cat libraries >&2
      echo "$file needs a library that the fetched packages do not have" >&2
      return 1
    }
  done
  while read -r file; do cp -L "$file" root/lib/x86_64-linux-gnu/; done < <(sed -n 's/^.*=> \(x\/[^ ]*\).*/\1/p' libraries)

  cp "$sources/init" root/init
  cp "$sources/redis.conf" "$sources/redis-disk.conf" root/etc/
  holdfast_guest_program "$sources/writer.hex" root/usr/bin/page-writer
  holdfast_guest_program "$sources/disk-writer.hex" root/usr/bin/disk-writer
  holdfast_guest_program "$sources/memory-checker.hex" root/usr/bin/memory-checker
  chmod 755 root/init root/bin/busybox root/usr/bin/redis-server root/usr/sbin/mke2fs
  # The host's cpio is optional in Debian, busybox's is not; the guest's own binary runs here too.
  (cd root && find . | LC_ALL=C sort | ./bin/busybox cpio -o -H newc -R 0:0 2>/dev/null) | gzip -6 >out/initrd.gz
  printf 'kernel %s\n' "$version" >out/contents
  for file in ./*.deb; do file=${file##*/}; echo "package ${file%.deb}"; done >>out/contents
}

# Whether a directory holds what a guest boots.
holdfast_guest_is_in() { [ -r "$1/vmlinuz" ] && [ -r "$1/initrd.gz" ]; }

# Sets and exports HOLDFAST_GUEST_DIR, building the guest first where it is not in the cache.
holdfast_guest() {
  holdfast_guest_of cloud HOLDFAST_GUEST_DIR
}

# $1: cloud or storage, $2: the variable that names the directory, or is set to it.
holdfast_guest_of() {
  local here key cache kind=$1
  local -n directory=$2
  if [ -n "${directory-}" ]; then
    if holdfast_guest_is_in "$directory"; then export "${!directory}"; return; fi
    holdfast_guest_fail "${!directory}=$directory holds no vmlinuz and initrd.gz." \
      "  Unset it to have the guest built, or name a directory that scripts/guest.sh printed."
    return
  fi
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  key=$(cat "$here/guest.sh" "$here"/guest/* | sha256sum)
  cache="${XDG_CACHE_HOME:-$HOME/.cache}/holdfast"
  # Tests that are run by hand boot the newest guest-*.
  case $kind in
    cloud) directory="$cache/guest-${key:0:12}" ;;
    storage) directory="$cache/storage-guest-${key:0:12}" ;;
  esac
  export "${!directory}"
  if holdfast_guest_is_in "$directory"; then return; fi

  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    holdfast_guest_fail "the guest is made of Debian packages, and this machine has no apt-get and dpkg." \
      "  Run scripts/guest.sh on a Debian 12 machine, copy the directory it prints here, and name it:" \
      "  export ${!directory}=/path/to/that/directory"
    return
  fi
  # A process of its own keeps shell options, traps and APT_CONFIG from the caller.
  mkdir -p "$cache"
  bash "$here/guest.sh" --build "$here/guest" "$directory" "$kind"
}

# In a process of its own: builds in a directory beside the target, then renames it: a half-built guest is never visible.
holdfast_guest_build_at() {
  set -euo pipefail
  local sources=$1 target=$2
  work=$(mktemp -d "${target%/*}/building-XXXXXX")
  cd "$work"
  exec 3>&2 2>>build.log
  # shellcheck disable=SC2317 # reached by the trap
  holdfast_guest_finish() {
    local status=$?
    if [ "$status" != 0 ] && [ "$status" != 130 ]; then
      echo "holdfast: the guest was not built. The end of the log:" >&3
      tail -n 15 build.log >&3
      echo "  Packages come from the Debian mirrors in /etc/apt: is the network up? Then run scripts/guest.sh again." >&3
    fi
    cd / && rm -rf "$work"
  }
  trap holdfast_guest_finish EXIT
  trap 'exit 130' INT TERM
  holdfast_guest_build "$sources" "$3"
  # Whoever renames first wins: a second builder finds the directory there and keeps it.
  mv -T out "$target" || [ -r "$target/initrd.gz" ]
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  case ${1-} in
    --build) holdfast_guest_build_at "$2" "$3" "$4" ;;
    --storage) holdfast_guest_of storage HOLDFAST_STORAGE_GUEST_DIR && echo "$HOLDFAST_STORAGE_GUEST_DIR" ;;
    '') holdfast_guest && echo "$HOLDFAST_GUEST_DIR" ;;
    *) echo "usage: scripts/guest.sh [--storage]" >&2; exit 2 ;;
  esac
fi
