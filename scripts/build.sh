# Sourced: holdfast_build makes target/holdfast/current/{lib,bench} when the sources are newer than it; needs HOLDFAST_HOME and
# the variables of scripts/jdk.sh. Programs run from copies, so that a rebuild never changes a jar below a running daemon.

holdfast_build_is_current() {
  local current="$HOLDFAST_HOME/target/holdfast/current"
  [ -e "$current/stamp" ] || return 1
  # A changed directory's own time shows deleted and moved files.
  [ -z "$(find "$HOLDFAST_HOME"/pom.xml "$HOLDFAST_HOME"/*/pom.xml "$HOLDFAST_HOME"/*/src/main "$HOLDFAST_HOME"/.mvn \
    "$HOLDFAST_HOME"/scripts/build.sh -newer "$current/stamp" -print -quit 2>/dev/null)" ]
}

# Java takes a user's home from the password file, where root of a user namespace has another one than HOME.
# Maven itself runs on the JDK found: a machine may have no other, and the toolchain plugin then finds this one first.
holdfast_mvn() {
  JAVA_HOME=$HOLDFAST_JAVA_HOME MAVEN_OPTS="-Duser.home=$HOME ${MAVEN_OPTS-}" mvn -B --no-transfer-progress -f "$HOLDFAST_HOME/pom.xml" "$@"
}

# What a daemon starts from, holdfast.aot: made by a training run (holdfast.cli.TrainingRun), for this very class path, whose jars the JVM compares.
# It only saves time, so that what prevents it is written to the log and fails nothing.
holdfast_build_train() { # $1: the build's directory
  local classpath='' jar place=/dev/shm
  [ -w "$place" ] || place=/tmp
  for jar in "$1"/lib/*.jar; do classpath+="${classpath:+:}$jar"; done
  if timeout 60 "$HOLDFAST_JAVA" --enable-native-access=ALL-UNNAMED "-XX:AOTCacheOutput=$1/training.aot" '-Xlog:aot*=off' -cp "$classpath" \
    holdfast.cli.TrainingRun "$place" </dev/null; then
    mv "$1/training.aot" "$1/holdfast.aot" || true
  fi
  rm -f "$1"/training.aot*
}

# Assembles a new directory and switches to it; the three newest stay for processes that still run from them.
holdfast_build_assemble() {
  local base="$HOLDFAST_HOME/target/holdfast" jar next old
  next=$(mktemp -d "$base/build-$(date +%Y%m%d%H%M%S)-XXXXXX") || return
  chmod 755 "$next" && mkdir "$next/lib" "$next/bench" || return
  cp "$HOLDFAST_HOME"/cli/target/lib/*.jar "$HOLDFAST_HOME"/cli/target/cli-*.jar "$next/lib/" || return
  for jar in "$HOLDFAST_HOME"/benchmarks/target/lib/*.jar "$HOLDFAST_HOME"/benchmarks/target/bench-*.jar; do
    [ -e "$next/lib/${jar##*/}" ] || cp "$jar" "$next/bench/" || return
  done
  holdfast_build_train "$next"
  cp -p "$base/started" "$next/stamp" && ln -sfn "${next##*/}" "$base/next" && mv -T "$base/next" "$base/current" || return
  find "$base" -maxdepth 1 -name 'build-*-*' -type d | sort | head -n -3 | while read -r old; do rm -rf "$old"; done
}

holdfast_build_locked() {
  local base="$HOLDFAST_HOME/target/holdfast"
  if holdfast_build_is_current; then return; fi
  if ! command -v mvn >/dev/null; then
    echo "holdfast: Maven is missing, and this checkout is not built yet." >&2
    echo "  Debian: sudo apt-get install -y maven   Fedora: sudo dnf install maven" >&2
    return 3
  fi
  echo "holdfast: building (first use, or the sources changed) ..." >&2
  # The time before Maven reads the sources: what is edited meanwhile counts as newer.
  touch "$base/started"
  rm -rf "$HOLDFAST_HOME"/{cli,benchmarks}/target/lib "$HOLDFAST_HOME"/cli/target/cli-*.jar "$HOLDFAST_HOME"/benchmarks/target/bench-*.jar
  if ! holdfast_mvn -Dmaven.test.skip=true package >"$base/build.log" 2>&1 || ! holdfast_build_assemble >>"$base/build.log" 2>&1; then
    echo "holdfast: the build failed:" >&2
    grep -E '^\[ERROR\]|cannot|No such' "$base/build.log" | head -n 30 >&2 || tail -n 30 "$base/build.log" >&2
    echo "  All of it: $base/build.log" >&2
    return 1
  fi
}

# Concurrent callers wait for one build. The lock lives in a subshell's descriptor: nothing that is started later inherits it.
holdfast_build() {
  if holdfast_build_is_current; then return; fi
  mkdir -p "$HOLDFAST_HOME/target/holdfast"
  ( flock 9 && holdfast_build_locked 9>&- ) 9>"$HOLDFAST_HOME/target/holdfast/lock"
}

# Sets HOLDFAST_BUILD, and HOLDFAST_CLASSPATH from the directories named (lib, bench) of the current build, in an order that does not change: class
# data sharing compares it.
holdfast_classpath() {
  local current part jar
  current=$(readlink -f "$HOLDFAST_HOME/target/holdfast/current")
  # shellcheck disable=SC2034 # for bin/holdfast
  HOLDFAST_BUILD=$current
  HOLDFAST_CLASSPATH=
  for part in "$@"; do
    for jar in "$current/$part"/*.jar; do HOLDFAST_CLASSPATH+="${HOLDFAST_CLASSPATH:+:}$jar"; done
  done
}
