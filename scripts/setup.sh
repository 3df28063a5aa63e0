# Sourced by ./demo, ./bench and ./check with HOLDFAST_HOME set. Everything it says goes to standard error.
# holdfast_setup: JDK, programs, guest image and build. holdfast_enter_namespace: the rights for namespaces and taps.

holdfast_say() { printf 'holdfast: %s\n' "$*" >&2; }

# program:Debian package:Fedora package
holdfast_programs=(
  qemu-system-x86_64:qemu-system-x86:qemu-system-x86-core
  ip:iproute2:iproute
  busybox:busybox-static:busybox
  mvn:maven:maven
  git:git:git
  zstd:zstd:zstd
  e2fsck:e2fsprogs:e2fsprogs
  redis-check-aof:redis-tools:redis
  flock:util-linux:util-linux
  unshare:util-linux:util-linux
)

# Other people's NBD clients and servers, which ./check and ./bench meet: they add them to the list above.
# shellcheck disable=SC2034 # for them
holdfast_nbd_programs=(
  qemu-img:qemu-utils:qemu-img
  nbdinfo:libnbd-bin:libnbd
  nbdkit:nbdkit:nbdkit
  fio:fio:fio-engine-nbd
  openssl:openssl:openssl
)

# For scripts/libvirt-test.sh alone.
# shellcheck disable=SC2034 # for it
holdfast_libvirt_programs=(
  libvirtd:libvirt-daemon-system:libvirt-daemon-driver-qemu
  virtlogd:libvirt-daemon-system:libvirt-daemon-log
  virsh:libvirt-clients:libvirt-client
)

holdfast_missing_packages() { # $1: 2 for Debian's names, 3 for Fedora's
  local entry
  for entry in "${holdfast_programs[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${entry%%:*}" >/dev/null || cut -d: -f"$1" <<<"$entry"
  done | sort -u | tr '\n' ' '
}

holdfast_apt_install() {
  local log
  log=$(mktemp)
  holdfast_say "installing $*..."
  # The lists may be absent or older than the mirror: read them again only where the first try fails.
  if ! DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" </dev/null >"$log" 2>&1; then
    holdfast_say "reading Debian's package lists ..."
    if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"; } \
      </dev/null >"$log" 2>&1; then
      tail -n 15 "$log" >&2
      rm -f "$log"
      holdfast_say "apt-get could not install: $*"
      holdfast_say "  Install them yourself (apt-get install $*) and start again."
      exit 3
    fi
  fi
  rm -f "$log"
}

holdfast_setup_programs() {
  local missing fedora
  missing=$(holdfast_missing_packages 2)
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" = 0 ] && [ -z "${HOLDFAST_NAMESPACE-}" ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086 # a list
    holdfast_apt_install $missing
    missing=$(holdfast_missing_packages 2)
    [ -n "$missing" ] || return 0
  fi
  fedora=$(holdfast_missing_packages 3)
  holdfast_say "these packages are missing: $missing"
  holdfast_say "  Debian, Ubuntu: sudo apt-get install -y --no-install-recommends $missing"
  holdfast_say "  Fedora:         sudo dnf install -y $fedora"
  exit 3
}

holdfast_setup() {
  PATH="$PATH:/usr/sbin:/sbin"
  . "$HOLDFAST_HOME/scripts/jdk.sh"
  holdfast_setup_programs
  . "$HOLDFAST_HOME/scripts/build.sh"
  . "$HOLDFAST_HOME/scripts/guest.sh"
  holdfast_guest || exit
  holdfast_build || exit
}

# In the new namespaces, before the program itself: a /run of its own, where `ip netns` keeps its names, with the name service's
# configuration carried over, and a loopback that is up.
# shellcheck disable=SC2016 # expanded by the inner shell
holdfast_namespace_preparation='
  set -eu
  resolver=$(readlink -f /etc/resolv.conf || true)
  case $resolver in /run/*) content=$(cat "$resolver") ;; *) resolver= ;; esac
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir /run/netns
  if [ -n "$resolver" ]; then mkdir -p "${resolver%/*}"; printf "%s\n" "$content" >"$resolver"; fi
  if [ "$HOLDFAST_NAMESPACE" = own-network ]; then ip link set lo up; fi
  exec "$@"
'

# holdfast_enter_namespace own-network|host-network COMMAND...: returns where this process may create network namespaces;
# otherwise starts COMMAND again as root of a user namespace, or says what is missing and exits 3.
# With own-network even the first network namespace is new; Maven's tests keep the host's for their downloads.
holdfast_enter_namespace() {
  local network=$1 flags=(--user --map-root-user --mount)
  shift
  [ -z "${HOLDFAST_NAMESPACE-}" ] || return 0
  if [ ! -r /dev/net/tun ] || [ ! -w /dev/net/tun ]; then
    holdfast_say "/dev/net/tun is missing or closed to $(id -un), and the guests' network cards are taps."
    if [ -e /dev/net/tun ]; then holdfast_say "  Open it: sudo chmod 0666 /dev/net/tun"; else holdfast_say "  Load it: sudo modprobe tun"; fi
    exit 3
  fi
  if [ "$(id -u)" = 0 ] && unshare --net --mount true 2>/dev/null; then return 0; fi
  [ "$network" != own-network ] || flags+=(--net)
  if ! unshare "${flags[@]}" --net true 2>/dev/null; then
    holdfast_say "$(id -un) may create neither network namespaces nor user namespaces. Either start this as root, or allow them:"
    if [ "$(cat /proc/sys/kernel/unprivileged_userns_clone 2>/dev/null)" = 0 ]; then
      holdfast_say "  sudo sysctl -w kernel.unprivileged_userns_clone=1"
    elif [ "$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null)" = 1 ]; then
      holdfast_say "  sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    elif [ "$(cat /proc/sys/user/max_user_namespaces 2>/dev/null)" = 0 ]; then
      holdfast_say "  sudo sysctl -w user.max_user_namespaces=10000"
    else
      holdfast_say "  (a container usually forbids both: start it with the right SYS_ADMIN and NET_ADMIN)"
    fi
    exit 3
  fi
  if [ -e /dev/kvm ] && [ ! -w /dev/kvm ]; then
    holdfast_say "/dev/kvm is closed to $(id -un): guests are emulated, which is slower (sudo usermod -aG kvm $(id -un))."
  fi
  holdfast_say "not root: going on in a user namespace."
  export HOLDFAST_NAMESPACE=$network
  exec unshare "${flags[@]}" -- sh -c "$holdfast_namespace_preparation" holdfast "$@"
}
