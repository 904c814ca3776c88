#!/bin/bash
# What the Tab key offers, with a gateway that is made up here.
set -eu
cd "$(dirname "$0")/../../../.."
# shellcheck source=etc/completion/sealpostctl.bash
. etc/completion/sealpostctl.bash
failed=0

# shellcheck disable=SC2317 # called by the completion
sealpostctl()
{
    [ "$1" = -c ] && shift 2
    case "$*" in
    "--json user list") echo '[{"address":"a@x.example","aliases":["c@x.example"]},{"address":"b@x.example"}]' ;;
    "--json user show a@x.example") echo '{"address":"a@x.example","aliases":["c@x.example","d@x.example"]}' ;;
    "--json queue list") echo '[{"id":"Q1"},{"id":"Q2"}]' ;;
    "--json held list") echo '[{"id":"H1"}]' ;;
    "--json held show H1") echo '{"id":"H1","recipients":[{"address":"bob@y.example"}]}' ;;
    "--json forward list a@x.example") echo '[{"owner":"a@x.example","target":"t@y.example"}]' ;;
    "--json exception list a@x.example") echo '[{"user":"a@x.example","domain":"y.example"}]' ;;
    "--json posture") echo '[{"domain":"y.example","host":"mx1"},{"domain":"y.example","host":"mx2"}]' ;;
    "--json sts list") echo '[{"domain":"s.example"}]' ;;
    *) echo "asked for $*" >&2 && return 1 ;;
    esac
}

# offers WANTED WORD ...: the last word is the one at the cursor.
offers()
{
    local wanted=$1
    shift
    COMP_WORDS=(sealpostctl "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _sealpostctl
    if [ "${COMPREPLY[*]-}" != "$wanted" ]; then
        echo "sealpostctl $*: offers \"${COMPREPLY[*]-}\", not \"$wanted\""
        failed=1
    fi
}

offers "user guarantee forward exception queue held release check posture report sts status help" ""
offers "user" u
offers "release report" help re
offers "set show" user s
offers "a@x.example b@x.example" user show ""
offers "b@x.example" user show b
offers "c@x.example d@x.example" user unalias a@x.example ""
offers "de en" user set a@x.example --language ""
offers "--password-stdin" user set a@x.example --p
offers "a@x.example b@x.example" guarantee ""
offers "on off" guarantee a@x.example o
offers "dry-run" guarantee a@x.example dr
offers "verified" guarantee a@x.example dry-run ""
offers "" guarantee a@x.example on ""
offers "--receipts" user set a@x.example --r
offers "a@x.example b@x.example" exception add ""
offers "y.example" exception remove a@x.example ""
offers "--until" exception add a@x.example z.example --u
offers "1d" exception add a@x.example z.example --until 1
offers "dry-run" report ""
offers "a@x.example b@x.example" report dry-run ""
offers "y.example" posture ""
offers "list purge" sts ""
offers "s.example" sts purge ""
offers "--for" guarantee a@x.example on --f
offers "a@x.example b@x.example" held list --user ""
offers "t@y.example" forward remove a@x.example ""
offers "Q1 Q2" queue retry ""
offers "Q1 Q2" -c other.conf queue remove ""
offers "H1" held show ""
offers "H1" release ""
offers "bob@y.example" release H1 ""
offers "--force" release H1 --f
offers "bob@y.example" release --force H1 b
offers "--level" check y.example --l
offers "encrypt verified" check --level ""
offers "" status ""
offers "" user list ""
exit $failed
