# shellcheck shell=bash disable=SC2154
# What tests of the program share. Source it in a folder of the test's own, with its path in $work
# and the program's in $kizuna.
count=0
failures=0
export XDG_CACHE_HOME=/dev/null # nothing is known of the machine, and nothing kept

# check NAME COMMAND…: the command must succeed.
check() {
  local name=$1 log=$work/check.log
  shift
  count=$((count + 1))
  if "$@" >"$log" 2>&1 </dev/null; then
    echo "ok $count - $name"
  else
    echo "not ok $count - $name"
    sed 's/^/# /' "$log"
    failures=$((failures + 1))
  fi
}

# refuses CODE TEXT ARGUMENTS…: exit code, one error line with the text, and no new file.
tool=upscale
refuses() {
  local code=$1 text=$2 before after got
  shift 2
  before=$(find . -not -name '*.log' | sort)
  timeout 120 "$kizuna" "$tool" "$@" >out.log 2>err.log </dev/null
  got=$?
  cat err.log
  after=$(find . -not -name '*.log' | sort)
  [[ $got == "$code" ]] || { echo "exit code $got, not $code"; return 1; }
  [[ $(grep -c '^kizuna: error: ' err.log) == 1 ]] || { echo "not one error line"; return 1; }
  grep '^kizuna: error: ' err.log | grep -qF -- "$text" || { echo "no '$text'"; return 1; }
  [[ ! -s out.log ]] || { echo "stdout isn't clean"; return 1; }
  [[ $before == "$after" ]] || { echo "files came or went: $after"; return 1; }
}

# The plan, and whether all went well.
finish() {
  echo "1..$count"
  exit $((failures > 0))
}
