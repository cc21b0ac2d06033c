# Names that macula knows (stages of the file at hand, parameters, pages) come first, then what the commands take.
_macula_names() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" complete-words --after-equals -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    if ((${#COMPREPLY[@]} == 0)); then
        IFS=$' \t\n'
        _macula "$@"
    elif [[ ${COMPREPLY[0]} == *[=.] ]]; then
        # More of the word is to come.
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _macula_names -o bashdefault -o default macula
