# shellcheck shell=bash
# Runs test programs that print TAP (testanything.org), counts, and ends with one line of totals.
# Source lib.sh first; logs stay in build/logs.

tap_passed=0 tap_failed=0 tap_skipped=0 tap_beside_group=
tap_logs=${root:?source lib.sh first}/build/logs
mkdir -p "$tap_logs"

# tap_run NAME COMMAND…: a program that prints TAP. No plan, fewer results than planned, a crash
# and a hang are failures.
tap_run() {
  local name=$1 log passed failed skipped began=$EPOCHREALTIME status=0
  shift
  log=$tap_logs/${name//[^A-Za-z0-9_.-]/_}.log
  timeout -k 10 "${TAP_TIMEOUT:-600}" "$@" >"$log" 2>&1 </dev/null || status=$?
  read -r passed failed skipped < <(tap_count "$status" "$log")
  ((failed == 0)) || tap_show "$status" "$log"
  tap_line "$name" "$passed" "$failed" "$skipped" "$began"
}

# tap_check NAME COMMAND…: one test, passed when the command succeeds.
tap_check() {
  local name=$1 log began=$EPOCHREALTIME
  shift
  log=$tap_logs/${name//[^A-Za-z0-9_.-]/_}.log
  if ("$@") >"$log" 2>&1 </dev/null; then
    tap_line "$name" 1 0 0 "$began"
  else
    sed 's/^/  # /' "$log"
    tap_line "$name" 0 1 0 "$began"
    return 1
  fi
}

# Prints passed, failed, skipped.
tap_count() {
  awk -v status="$1" '
    /^1\.\.[0-9]+/ && !plan { plan = 1; planned = substr($1, 4) + 0; skip_all = /# *SKIP/ }
    /^ok / { if (toupper($0) ~ /# *SKIP/) skipped++; else passed++ }
    /^not ok / { failed++ }
    /^Bail out!/ { failed++ }
    END {
      if (skip_all && planned == 0) skipped++
      if (!plan || passed + failed + skipped != planned + (skip_all && !planned) || (status != 0 && !failed)) failed++
      print passed + 0, failed + 0, skipped + 0
    }' "$2"
}

# The failures with the lines before them; the end of the log where the program itself failed.
tap_show() {
  awk '/^ok / { note = "" } !/^ok / { note = note "  " $0 "\n" }
       /^not ok / { printf "%s", note; note = "" }' "$2"
  if ! grep -q '^not ok ' "$2" || (($1 > 1)); then
    tail -n 40 "$2" | sed 's/^/  | /'
    case $1 in
      124 | 137) printf '  # stopped after %s s\n' "${TAP_TIMEOUT:-600}" ;;
      *) printf '  # exit status %s, of which the log above is the end\n' "$1" ;;
    esac
  fi
}

tap_line() {
  local word=ok
  ((tap_passed += $2, tap_failed += $3, tap_skipped += $4)) || true
  (($3 == 0)) || word=FAILED
  awk -v n="$1" -v p="$2" -v f="$3" -v s="$4" -v w="$word" -v a="$5" -v b="$EPOCHREALTIME" 'BEGIN {
    printf "  %-34s %-6s %4d passed", n, w, p
    if (f) printf ", %d failed", f
    if (s) printf ", %d skipped", s
    printf "  (%.1f s)\n", b - a
  }'
}

# tap_stage TITLE COMMAND…: a group of tests with its time.
tap_stage() {
  local began=$SECONDS
  printf '== %s\n' "$1"
  shift
  "$@" || true
  printf '   %d s\n' $((SECONDS - began))
}

# tap_beside COMMAND…: stages that run in the background, at a lower priority, until tap_join prints and
# counts them. One at a time.
tap_beside() {
  rm -f "$tap_logs/beside.counts"
  set -m # a process group of its own, so that tap_end can end all of it
  (
    tap_passed=0 tap_failed=0 tap_skipped=0
    renice -n 5 -p "$BASHPID" >/dev/null
    "$@"
    echo "$tap_passed $tap_failed $tap_skipped" >"$tap_logs/beside.counts"
  ) >"$tap_logs/beside.log" 2>&1 </dev/null &
  tap_beside_group=$!
  set +m
}

tap_join() {
  local passed=0 failed=1 skipped=0
  wait "$tap_beside_group" || true
  tap_beside_group=
  cat "$tap_logs/beside.log"
  [[ ! -e $tap_logs/beside.counts ]] || read -r passed failed skipped <"$tap_logs/beside.counts"
  ((tap_passed += passed, tap_failed += failed, tap_skipped += skipped)) || true
}

# For `trap 'tap_end $?' EXIT`: an early end of the script counts as a failure.
tap_end() {
  [[ -z $tap_beside_group ]] || kill -- "-$tap_beside_group" || true
  (($1 == 0)) || ((tap_failed += 1))
  printf '%d passed, %d failed, %d skipped\n' "$tap_passed" "$tap_failed" "$tap_skipped"
  exit $((tap_failed > 0))
}
