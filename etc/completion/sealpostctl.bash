# Completion of sealpostctl(8) for bash: commands, options, and what only the gateway knows: users
# and queue IDs. Those are asked for when the Tab key asks; without permission there are none.

# Values of one key in a listing: _sealpostctl_values KEY COMMAND ...
_sealpostctl_values()
{
    local key=$1
    shift
    "${_sealpostctl_program[@]}" --json "$@" 2>/dev/null </dev/null |
        grep -o "\"$key\":\"[^\"]*\"" | cut -d '"' -f 4
}

# Words of the command line that are neither options nor their values, into _sealpostctl_words; the
# options given before the command go on to the listings above.
_sealpostctl_read()
{
    local i word
    _sealpostctl_words=()
    _sealpostctl_program=("${COMP_WORDS[0]}")
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -c)
            _sealpostctl_program+=(-c "${COMP_WORDS[++i]}")
            ;;
        --language | --hold-back | --for | --user | --level | --until)
            ((++i))
            ;;
        -*) ;;
        *)
            _sealpostctl_words+=("$word")
            ;;
        esac
    done
}

# What may stand behind those words.
_sealpostctl_candidates()
{
    local count=${#_sealpostctl_words[@]}
    local command="${_sealpostctl_words[*]:0:2}"
    case $count in
    0)
        echo "user guarantee forward exception queue held release check posture report sts status help"
        return
        ;;
    1)
        case $command in
        help) echo "user guarantee forward exception queue held release check posture report sts status" ;;
        user) echo "add set list show remove alias unalias" ;;
        forward) echo "add remove list" ;;
        exception) echo "add remove list" ;;
        report) echo "dry-run" ;;
        sts) echo "list purge" ;;
        posture) _sealpostctl_values domain posture | sort -u ;;
        queue) echo "list show retry remove" ;;
        held) echo "list show drop" ;;
        guarantee) _sealpostctl_values address user list ;;
        release) _sealpostctl_values id held list ;;
        esac
        return
        ;;
    esac
    case $count:$command in
    2:user\ set | 2:user\ show | 2:user\ remove | 2:user\ alias | 2:user\ unalias | 2:forward\ * | \
        2:exception\ * | 2:report\ dry-run)
        _sealpostctl_values address user list
        ;;
    3:user\ unalias)
        _sealpostctl_aliases "${_sealpostctl_words[2]}"
        ;;
    3:forward\ remove)
        _sealpostctl_values target forward list "${_sealpostctl_words[2]}"
        ;;
    3:exception\ remove)
        _sealpostctl_values domain exception list "${_sealpostctl_words[2]}"
        ;;
    2:sts\ purge)
        _sealpostctl_values domain sts list
        ;;
    2:queue\ show | 2:queue\ retry | 2:queue\ remove)
        _sealpostctl_values id queue list
        ;;
    2:held\ show | 2:held\ drop)
        _sealpostctl_values id held list
        ;;
    2:guarantee\ *)
        echo "on off verified default dry-run"
        ;;
    3:guarantee\ *)
        [ "${_sealpostctl_words[2]}" != dry-run ] || echo "verified"
        ;;
    *:release\ *)
        _sealpostctl_values address held show "${_sealpostctl_words[1]}"
        ;;
    esac
}

_sealpostctl_aliases()
{
    "${_sealpostctl_program[@]}" --json user show "$1" 2>/dev/null </dev/null |
        grep -o '"aliases":\[[^]]*\]' | grep -o '"[^":]*@[^"]*"' | tr -d '"'
}

_sealpostctl_options()
{
    local command="${_sealpostctl_words[*]:0:2}"
    case $command in
    "") echo "-c --json --help --version" ;;
    user\ add) echo "--password-stdin --language --hold-back --json --help" ;;
    user\ set) echo "--password-stdin --language --hold-back --receipts --no-receipts --json --help" ;;
    exception\ add) echo "--until --json --help" ;;
    guarantee*) echo "--for --locked --json --help" ;;
    held\ list) echo "--user --json --help" ;;
    check*) echo "--level --json --help" ;;
    release*) echo "--recheck --force --json --help" ;;
    *) echo "--json --help" ;;
    esac
}

_sealpostctl()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local _sealpostctl_words _sealpostctl_program candidates
    COMPREPLY=()
    _sealpostctl_read
    case $previous in
    -c)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --language) candidates="de en" ;;
    --level) candidates="encrypt verified" ;;
    --for | --hold-back) candidates="30s 15m 30m 1h 4h 1d" ;;
    --until) candidates="1d 7d 30d 90d" ;;
    --user) candidates=$(_sealpostctl_values address user list) ;;
    *)
        if [[ $current == -* ]]; then
            candidates=$(_sealpostctl_options)
        else
            candidates=$(_sealpostctl_candidates)
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$current")
}

complete -F _sealpostctl sealpostctl
