# shellcheck shell=bash
# The longer campaigns of `tests/run --long`; sourced by it. Each is bounded in time.
seconds=${FUZZ_SECONDS:-60}

# `each NAME COMMAND FILE...`: the command for every file, as many at a time as there are cores.
each() {
    local name=$1 command=$2 good
    shift 2
    export -f "${command?}"
    mkdir "$results/$command.good"
    printf '%s\0' "$@" | xargs -0 -n1 -P"$(nproc)" bash -c \
        "$command \"\$1\" && : >\"$results/$command.good/\${1##*/}\"" each
    good=$(find "$results/$command.good" -type f | wc -l)
    count "$name" "$good" $(($# - good))
}
export results seconds

fuzz_one() {
    local name=${1##*/fuzz_} status=0
    mkdir -p "$results/corpus.$name"
    "$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$results/$name-" \
        "$results/corpus.$name" "tests/fuzz/corpus/$name" >"$results/fuzz.$name" 2>&1 || status=1
    [ "$status" = 0 ] || tail -n 30 "$results/fuzz.$name"
    echo "fuzz $name: $(grep -oE 'Done [0-9]+ runs' "$results/fuzz.$name" || echo stopped)"
    return "$status"
}

# Without a leak.
valgrind_one() {
    local name=${1##*/test_}
    timeout 600 valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect \
        "$1" >"$results/valgrind.$name" 2>&1 && return
    echo "valgrind: $name"
    tail -n 25 "$results/valgrind.$name"
    return 1
}

# Not under valgrind: it keeps descriptors for itself, and a child of fork() reports what the threads held that are not
# in it. ASan looks for their leaks every day.
not_under_valgrind="net_conn control_server"

valgrind_all() {
    local program programs=()
    for program in build/valgrind/tests/test_*; do
        case " $not_under_valgrind " in
        *" ${program##*/test_} "*) ;;
        *) programs+=("$program") ;;
        esac
    done
    each "valgrind" valgrind_one "${programs[@]}"
}

campaigns() {
    step "build (clang, libFuzzer)" build fuzz && {
        say "fuzzing, $seconds s each"
        each "fuzzing" fuzz_one build/fuzz/tests/fuzz_*
        step "clang-tidy" tests/lint/tidy.sh build/fuzz
    }
    step "cppcheck" tests/lint/cppcheck.sh
    step "build (TSan)" build tsan && {
        unit tsan
        system tsan "system tests (TSan)" tests/system/run -q --no-header
    }
    step "build (valgrind)" build valgrind && {
        say "valgrind"
        valgrind_all
        SEALPOST_VALGRIND=1 system valgrind "system tests (valgrind)" tests/system/run -q --no-header -n2 test_queue.py
    }
    SYSTEM_TEST_KILLS=100 system dev "a hundred kills" tests/system/run -q --no-header -n0 -s test_kill.py
    SYSTEM_TEST_LONG=1 system dev "testssl.sh" tests/system/run -q --no-header -n2 test_testssl.py
}

step "packages (long)" etc/install-packages etc/packages-long && campaigns
