# shellcheck shell=bash
# The longer campaigns of `tests/run --long`; sourced by it. Each is bounded in time.
seconds=${FUZZ_SECONDS:-60}

fuzz_all() {
    local target name good=0 bad=0
    for target in build/fuzz/tests/fuzz_*; do
        name=${target##*/fuzz_}
        mkdir -p "$results/corpus.$name"
        if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$results/$name-" \
            "$results/corpus.$name" "tests/fuzz/corpus/$name" >"$results/fuzz.$name" 2>&1; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
            tail -n 30 "$results/fuzz.$name"
        fi
        echo "fuzz $name: $(grep -oE 'Done [0-9]+ runs' "$results/fuzz.$name" || echo stopped)"
    done
    count "fuzzing" "$good" "$bad"
}

# Not under valgrind: it keeps descriptors for itself, and a child of fork() reports what the threads held that are not
# in it. ASan looks for their leaks every day.
not_under_valgrind="net_conn control_server"

# Every other unit test, without a leak.
valgrind_all() {
    local program good=0 bad=0
    for program in build/valgrind/tests/test_*; do
        case " $not_under_valgrind " in
        *" ${program##*/test_} "*) continue ;;
        esac
        if timeout 600 valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect \
            "$program" >"$results/valgrind" 2>&1; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
            echo "valgrind: ${program##*/}"
            tail -n 25 "$results/valgrind"
        fi
    done
    count "valgrind" "$good" "$bad"
}

campaigns() {
    step "build (clang, libFuzzer)" build fuzz && {
        say "fuzzing, $seconds s each"
        fuzz_all
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
