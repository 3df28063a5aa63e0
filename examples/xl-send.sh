#!/usr/bin/env bash
# Plays the sending half of `xl migrate -s '' DOMAIN RUNE` with a saved stream instead of a domain:
#   xl-send.sh FILE RUNE
# FILE is what `xl save` wrote, plain or compressed with zstd. Needs bash, coreutils, cmp and, for such files, zstd.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 FILE RUNE" >&2; exit 2; }
file=$1
go='domain is yours, you are cleared to unpause\0'

coproc receiver { exec sh -c "$2"; }
# Bash forgets the descriptors when the receiver ends.
exec {from}<&"${receiver[0]}" {to}>&"${receiver[1]}"
eval "exec ${receiver[0]}<&- ${receiver[1]}>&-"
pid=$receiver_PID

# expect NAME TEXT: the receiver's next bytes, no more and no fewer.
expect() {
  cmp -s <(printf "$2") <(head -c "$(printf "$2" | wc -c)" <&"$from") || { echo "sender: no $1 from the receiver" >&2; exit 1; }
  echo "sender: got the $1" >&2
}

expect banner 'xl migration receiver ready, send binary domain data.\n'
case $(head -c 4 "$file" | od -An -tx1 | tr -d ' ') in
  28b52ffd) zstd -dcq --long=27 "$file" >&"$to" ;;
  *) cat "$file" >&"$to" ;;
esac
expect 'ready message' 'domain received, ready to unpause\0'
printf "$go" >&"$to"
expect report 'my copy unpause results are as follows\0'
status=$(head -c 1 <&"$from" | od -An -tu1 | tr -d ' ')
echo "sender: the receiver reports status $status" >&2
[ "$status" = 0 ] || expect 'permission to go on' "$go"
exec {to}>&-
wait "$pid"
