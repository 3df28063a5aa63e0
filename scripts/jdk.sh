# Sourced: finds a JDK 25 and sets HOLDFAST_JAVA_HOME and HOLDFAST_JAVA, or says what is missing and exits 3.
# Order: HOLDFAST_JAVA_HOME, Maven's toolchains.xml, JAVA_HOME, the usual folders, java on the PATH.
holdfast_is_jdk25() {
  [ -n "${1-}" ] && [ -x "$1/bin/javac" ] && [ -r "$1/release" ] && grep -q '^JAVA_VERSION="25' "$1/release"
}
holdfast_find_jdk() {
  local home toolchains="${HOME:-/root}/.m2/toolchains.xml"
  if holdfast_is_jdk25 "${HOLDFAST_JAVA_HOME-}"; then echo "$HOLDFAST_JAVA_HOME"; return; fi
  if [ -r "$toolchains" ]; then
    while read -r home; do
      if holdfast_is_jdk25 "$home"; then echo "$home"; return; fi
    done < <(sed -n 's:.*<jdkHome>\(.*\)</jdkHome>.*:\1:p' "$toolchains")
  fi
  if holdfast_is_jdk25 "${JAVA_HOME-}"; then echo "$JAVA_HOME"; return; fi
  for home in /usr/lib/jvm/* /opt/java/* /opt/jdk* "${HOME:-/root}"/.sdkman/candidates/java/* "${HOME:-/root}"/.jdks/*; do
    if holdfast_is_jdk25 "$home"; then echo "$home"; return; fi
  done
  home=$(command -v javac) && home=$(dirname "$(dirname "$(readlink -f "$home")")") || home=
  if holdfast_is_jdk25 "$home"; then echo "$home"; fi
}
HOLDFAST_JAVA_HOME=$(holdfast_find_jdk)
if [ -z "$HOLDFAST_JAVA_HOME" ]; then
  echo "holdfast: no JDK 25 found in toolchains.xml, JAVA_HOME or /usr/lib/jvm." >&2
  echo "  Install one (for example Temurin 25) and name it: export HOLDFAST_JAVA_HOME=/path/to/jdk-25" >&2
  exit 3
fi
HOLDFAST_JAVA="$HOLDFAST_JAVA_HOME/bin/java"
export HOLDFAST_JAVA_HOME HOLDFAST_JAVA
