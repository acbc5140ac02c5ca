#!/usr/bin/env bash
# Prints what llvm-mca expects of NEON kernels on cores that are not at hand, all loads hitting the
# first-level cache:
#
#  * the flop per cycle of the inner loop of every body of the GEMM's Tile (rows × columns), beside that of
#    Peak, whose multiply-adds never leave the registers;
#  * the cycles that each of Winograd's transforms takes for a tile and four of its channels (of the weights, for
#    four pairs of channels), and what share that is of the time of those channels' products, where the convolution has
#    320 channels on its other side and Tile runs 8 × 12. Outputs have a bias, a scale and a residual;
#  * by the number of queries side by side, the flop per cycle of attention's products in the largest group of rows that
#    registers hold, the cycles that Softmax takes for four scores, and what that leaves of flop per cycle for heads of
#    40, 64 and 80 columns;
#  * the cycles that every function of Activate takes for 16 values, multiplied into others (as GEGLU does with
#    GELU) and added to a third. Those of identity are what that costs without a function.
#
#	bench/neon.sh [core...]     neoverse-n1, neoverse-v1, neoverse-v2, apple-m1 and cortex-a53 by default
#
# Needs llvm-mca (Debian: llvm-19, which has llvm-mca-19) and aarch64-linux-gnu-objdump (Debian:
# binutils-aarch64-linux-gnu). The models are LLVM's: that of apple-m1 has three of its four vector units.
set -euo pipefail
cd "$(dirname "$0")/.."

mca=$(command -v llvm-mca-19 || command -v llvm-mca) || { echo "$0: no llvm-mca; apt-get install llvm-19" >&2; exit 1; }
objdump=$(command -v aarch64-linux-gnu-objdump) || { echo "$0: no aarch64-linux-gnu-objdump; apt-get install binutils-aarch64-linux-gnu" >&2; exit 1; }
[ $# -gt 0 ] || set -- neoverse-n1 neoverse-v1 neoverse-v2 apple-m1 cortex-a53

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -o "$work/lanewise" ./cmd/lanewise

# loops FUNCTION [over]: write every innermost loop with float arithmetic to $work/FUNCTION.N, N from 1. A loop is
# what lies between a conditional branch backwards and where it goes, without another branch between, or, where
# over is 1, with none but such as go forward, over what is left out at times.
loops() {
  "$objdump" -d --no-show-raw-insn --disassemble="github.com/lanewise/lanewise/asm/neon.$1.abi0" "$work/lanewise" |
    awk -F'\t' -v out="$work/$1" -v over="${2:-0}" '
      $1 ~ /^ *[0-9a-f]+: *$/ {
        gsub(/[ :]/, "", $1)
        sub(/ *(\/\/|<).*/, "", $3)
        at[$1] = ++n
        text[n] = $2 " " $3
        if ($2 !~ /^(b|cbn?z|tbn?z|b\..*)$/) next
        target = $3
        sub(/.* /, "", target)
        sub(/[0-9a-f]+$/, "0", text[n])
        start = at[target]
        if (over && !start) next
        if (start > last && start < n) {
          float = 0
          for (i = start; i < n; i++) float += text[i] ~ /^f(mla|mls|mul|add|sub|cmgt) /
          if (float > 0) {
            loop++
            for (i = start; i <= n; i++) print text[i] > (out "." loop)
          }
        }
        last = n
      }
      END { print loop > (out ".count") }'
}
expect() { # expect FUNCTION LOOPS
  [ "$(cat "$work/$1.count")" = "$2" ] || { echo "$0: $1 has $(cat "$work/$1.count") loops, not the $2 that this script knows" >&2; exit 1; }
}
loops Tile; expect Tile 24
loops Peak; expect Peak 1
# For every kind of convolution, a loop over columns and one over rows, of each number of vectors.
loops WinogradInput 1; expect WinogradInput 18
loops WinogradOutput 1; expect WinogradOutput 24
loops WinogradWeights 1; expect WinogradWeights 16
# For 12, 8 and 4 queries, as many bodies as groups have sizes: 7, 9 and 14 keys of Score, 8, 8 and 16 rows of Weigh,
# each of which has a loop for the keys besides. Softmax has two passes, each with a loop for several keys and for one.
loops Score; expect Score 30
loops Weigh; expect Weigh 64
loops Softmax; expect Softmax 12
# For every function in the order of kernels.Act, a loop over 16 values and one over 4.
functions=(identity relu silu quick_gelu gelu gelu_tanh sigmoid tanh mish exp)
loops Activate 1; expect Activate $((2 * ${#functions[@]}))

# cycles FILE CORE: those of one round in steady state.
cycles() {
  "$mca" -mtriple=aarch64 -mcpu="$2" -iterations=200 "$1" | awk '/^Total Cycles/ { print $3 / 200 }'
}

# rate FILE CORE: flop per cycle; a multiply-add of four lanes is 8.
rate() {
  awk -v flop=$((8 * $(grep -c ^fmla "$1"))) -v cycles="$(cycles "$1" "$2")" 'BEGIN { printf "%.1f", flop / cycles }'
}

# transform FUNCTION BODY LOOPS COLUMNS ROWS CORE: cycles for four channels by a body, of so many loops, that runs
# the first over columns and the second over rows, eight channels at a time.
transform() {
  local first=$(($2 * $3 + 1))
  awk -v columns="$(cycles "$work/$1.$first" "$6")" -v rows="$(cycles "$work/$1.$((first + 1))" "$6")" \
    -v x="$4" -v y="$5" 'BEGIN { printf "%.0f", (x * columns + y * rows) / 2 }'
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

  printf '\n%12s' transforms
  tile=$(rate "$work/Tile.24" "$core")
  kinds=('0 0 2 3' '1 1 4 3' '2 2 6 3' '1 3 5 2') # bodies of the input, and of others; outputs and taps
  for k in "${kinds[@]}"; do read -r _ _ m r <<<"$k"; printf '%21s' "F(${m}x$m,${r}x$r)"; done
  for function in Input Output Weights; do
    printf '\n%12s' "${function,}"
    for k in "${kinds[@]}"; do
      read -r input other m r <<<"$k"
      t=$((m + r - 1))
      case $function in
        Input) c=$(transform WinogradInput "$input" 6 $t $t "$core") ;;
        Output) c=$(transform WinogradOutput "$other" 6 $t "$m" "$core") ;;
        Weights) c=$(transform WinogradWeights "$other" 4 "$r" $t "$core") ;;
      esac
      printf '%12s' "$c"
      if [ $function = Weights ]; then printf '%9s' ''; else
        awk -v c="$c" -v flop=$((2 * 4 * 320 * t * t)) -v rate="$tile" 'BEGIN { printf " (%4.1f %%)", 100 * c * rate / flop }'
      fi
    done
  done
  echo

  printf '\n%12s%15s%15s%9s' attention Score Weigh Softmax
  for size in 40 64 80; do printf '%14s' "heads of $size"; done
  queries=('12 7 15 1' '8 16 31 5' '4 30 63 9') # loops of Score, Weigh and Softmax
  for q in "${queries[@]}"; do
    read -r lanes score weigh softmax <<<"$q"
    awk -v lanes="$lanes" -v score="$(rate "$work/Score.$score" "$core")" -v weigh="$(rate "$work/Weigh.$weigh" "$core")" \
      -v top="$(cycles "$work/Softmax.$softmax" "$core")" -v sum="$(cycles "$work/Softmax.$((softmax + 2))" "$core")" -v peak="$peak" '
      function share(f, wide) { return sprintf("%*.1f (%3.0f %%)", wide - 8, f, 100 * f / peak) }
      BEGIN {
        four = (top + sum) / 6 # they have six vectors in a round
        printf "\n%4d queries%s%s%9.1f", lanes, share(score, 15), share(weigh, 15), four
        for (size = 40; size <= 80; size += size == 40 ? 24 : 16) {
          flop = 2 * 4 * size # of each product, for four scores
          printf "%s", share(2 * flop / (flop / score + flop / weigh + four), 14)
        }
      }'
  done
  echo

  printf '\n%12s' functions
  printf '%12s' "${functions[@]}"
  printf '\n%12s' cycles
  for i in "${!functions[@]}"; do printf '%12.1f' "$(cycles "$work/Activate.$((2 * i + 1))" "$core")"; done
  echo
done
