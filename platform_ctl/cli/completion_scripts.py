"""What a shell evaluates to complete the commands: click's protocol, with scripts of our own.

click's bash script takes the words as readline splits them, also at ``=``, ``@`` and ``:``
(COMP_WORDBREAKS), and neither of its scripts leaves the cursor behind a ``KEY=``. fish needs
no script beyond click's.
"""

from __future__ import annotations

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' rest=$COMP_LINE blank word type value i
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        blank=${rest%%%%[![:space:]]*}
        rest=${rest#"$blank"}
        rest=${rest#"$word"}
        if [[ ${#words[@]} -gt 0 && -z $blank ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
    done
    local current=${words[${#words[@]}-1]}
    local last=${current##*["${COMP_WORDBREAKS//[![:punct:]]/}"]}
    local before=${current%%"$last"}
    before=${before%%@}  # readline leaves an @ in the word that it replaces
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                [[ $value == *= ]] && compopt -o nospace
                COMPREPLY+=("${value#"$before"}") ;;
        esac
    done < <(env COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \
%(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described open response
    local type key help
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s)}")
    for type key help in ${response}; do
        case $type in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $key == *= ]]; then open+=("$key")
                elif [[ $help == _ ]]; then plain+=("$key")
                else described+=("$key:$help")
                fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#open )) && compadd -U -S '' -V unsorted -a open
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class _WholeWords(ShellComplete):
    """Candidates for ``--option=VALUE`` are whole words: click leaves out what is before the =."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("--"):
            for item in found:
                item.value = f"{option}={item.value}"
        return found


class _Bash(_WholeWords, BashComplete):
    source_template = _BASH


class _Zsh(_WholeWords, ZshComplete):
    source_template = _ZSH


class _Fish(_WholeWords, FishComplete):
    pass


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}
SHELLS = tuple(_SHELLS)


def register() -> None:
    """Make click answer these shells by the classes here."""
    for shell, answering in _SHELLS.items():
        add_completion_class(answering, shell)


def script(shell: str, command: str) -> str:
    """The script by which ``shell`` completes ``command``."""
    variable = f"_{command.replace('-', '_')}_complete".upper()
    return _SHELLS[shell](click.Command(command), {}, command, variable).source()
