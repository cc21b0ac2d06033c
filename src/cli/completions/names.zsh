# Names that macula knows (stages of the file at hand, parameters, pages) come first, then what the commands take.
_macula_names() {
    local -a found more
    local said="$($words[1] complete-words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"
    found=(${(f)said})
    if (( $#found )); then
        more=(${(M)found:#*[=.]})
        found=(${found:#*[=.]})
        compadd -S '' -a more
        compadd -a found
    else
        _macula "$@"
    fi
}

if [ "$funcstack[1]" = "_macula" ]; then
    compdef _macula_names macula
    _macula_names "$@"
else
    compdef _macula_names macula
fi
