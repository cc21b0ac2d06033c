# Names that macula knows: stages of the file at hand, parameters, pages.
function __macula_names
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] complete-words -- $words[2..] "$current" 2>/dev/null
end
complete -c macula -k -a '(__macula_names)'
complete -c macula -l set -r -k -a '(__macula_names)'
complete -c macula -l pipeline -r -k -a '(__macula_names)'
