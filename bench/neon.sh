#!/usr/bin/env bash
# Prints what llvm-mca expects of the NEON GEMM on cores that are not at hand: the flop per cycle of
# the inner loop of every body of Tile (rows × columns), all loads hitting the first-level cache, beside
# that of Peak, whose multiply-adds never leave the registers.
#
#	bench/neon.sh [core...]     neoverse-n1, neoverse-v2 and apple-m1 by default
#
# Needs llvm-mca (Debian: llvm-19, which has llvm-mca-19) and aarch64-linux-gnu-objdump (Debian:
# binutils-aarch64-linux-gnu). The models are LLVM's: that of apple-m1 has three of its four vector units.
set -euo pipefail
cd "$(dirname "$0")/.."

mca=$(command -v llvm-mca-19 || command -v llvm-mca) || { echo "$0: no llvm-mca; apt-get install llvm-19" >&2; exit 1; }
objdump=$(command -v aarch64-linux-gnu-objdump) || { echo "$0: no aarch64-linux-gnu-objdump; apt-get install binutils-aarch64-linux-gnu" >&2; exit 1; }
[ $# -gt 0 ] || set -- neoverse-n1 neoverse-v2 apple-m1

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -o "$work/lanewise" ./cmd/lanewise

# loops FUNCTION: write every innermost loop with multiply-adds to $work/FUNCTION.N, N from 1. A loop is
# what lies between a conditional branch backwards and where it goes, without another branch between.
loops() {
  "$objdump" -d --no-show-raw-insn --disassemble="github.com/lanewise/lanewise/asm/neon.$1.abi0" "$work/lanewise" |
    awk -F'\t' -v out="$work/$1" '
      $1 ~ /^ *[0-9a-f]+: *$/ {
        gsub(/[ :]/, "", $1)
        sub(/ *(\/\/|<).*/, "", $3)
        at[$1] = ++n
        text[n] = $2 " " $3
        if ($2 !~ /^(b|cbn?z|tbn?z|b\..*)$/) next
        start = at[$3]
        if (start > last && start < n) {
          fmla = 0
          for (i = start; i < n; i++) fmla += text[i] ~ /^fmla/
          if (fmla > 0) {
            loop++
            for (i = start; i < n; i++) print text[i] > (out "." loop)
            print $2 " 0" > (out "." loop)
          }
        }
        last = n
      }
      END { print loop > (out ".count") }'
}
loops Tile
loops Peak
[ "$(cat "$work/Tile.count")" = 24 ] && [ "$(cat "$work/Peak.count")" = 1 ] || { echo "$0: the loops of Tile and Peak are not what this script knows" >&2; exit 1; }

# rate FILE CORE: flop per cycle in steady state; a multiply-add of four lanes is 8.
rate() {
  "$mca" -mtriple=aarch64 -mcpu="$2" -iterations=200 "$1" |
    awk -v flop=$((8 * $(grep -c ^fmla "$1"))) '/^Total Cycles/ { printf "%.1f", 200 * flop / $3 }'
}

for core in "$@"; do
  peak=$(rate "$work/Peak.1" "$core")
  printf '\n%s: peak %s flop/cycle\n%12s' "$core" "$peak" rows
  for r in 1 2 3 4 5 6 7 8; do printf '%14d' "$r"; done
  for v in 3 2 1; do
    printf '\n%4d columns' $((4 * v))
    for r in 1 2 3 4 5 6 7 8; do
      f=$(rate "$work/Tile.$((8 * v - 8 + r))" "$core")
      printf '%7s (%3.0f %%)' "$f" "$(awk -v f="$f" -v p="$peak" 'BEGIN { print 100 * f / p }')"
    done
  done
  echo
done
