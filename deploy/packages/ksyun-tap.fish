# Completions of ksyun-tap for fish.
complete -c ksyun-tap -f -a '(ksyun-tap --completion-bash (commandline -opc)[2..-1] (commandline -ct))'
