#!/usr/bin/env bash
# Installs libvirt where it is missing, and runs LibvirtTest: domains that a real libvirtd runs. As root; ./check does not do this.
set -euo pipefail
HOLDFAST_HOME=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
export HOLDFAST_HOME
. "$HOLDFAST_HOME/scripts/setup.sh"
holdfast_programs+=(qemu-img:qemu-utils:qemu-img "${holdfast_libvirt_programs[@]}")
holdfast_setup
holdfast_mvn -pl node -am test -Dsurefire.failIfNoSpecifiedTests=false -Dholdfast.kills=libvirt -Dtest=LibvirtTest "$@"
