# SPDX-License-Identifier: BSD-2-Clause
# Completion of kmcl for bash. All that there is to complete is asked of the command itself, `--help` and, for
# ctl, the host's own list, so this knows no option.

_kmcl_help()
{
	"${COMP_WORDS[0]/#\~/$HOME}" "$@" --help 2>/dev/null
}

# The options of a help, each with what it takes: "--listen URI", "-l URI", "--echo".
_kmcl_options()
{
	sed -nE 's/^ {2,6}(-[a-z]), (--[a-z0-9-]+)( [A-Z:]+)?( .*)?$/\1\3\n\2\3/p; s/^ {6}(--[a-z0-9-]+)( [A-Z:]+)?( .*)?$/\1\2/p'
}

# The commands of a help: one or two words, before their description.
_kmcl_commands()
{
	sed -nE 's/^  ([a-z]+( [a-z]+)?) .*/\1/p'
}

# Files, after a beginning that is no part of their name.
_kmcl_files()
{
	local word
	compopt -o filenames 2>/dev/null
	while IFS= read -r word; do
		COMPREPLY+=("$1$word")
	done < <(compgen -f -- "$2")
}

# What an option takes, by the name that its help gives that.
_kmcl_value()
{
	local help=$1 takes=$2 current=$3
	case $takes in
	IMAGE | WHERE)
		if [[ $current == *,* ]]; then
			local part
			compopt -o nospace 2>/dev/null
			# those of the option alone: from its line to the next option's
			for part in $(sed -nE "/^ {2,6}-.* $takes( |\$)/,/^ {2,6}-/s/^ {10,},([a-z]+=?).*/\1/p" <<<"$help"); do
				[[ $part == "${current##*,}"* ]] && COMPREPLY+=("${current%,*},$part")
			done
		elif [[ $takes == IMAGE ]]; then
			_kmcl_files '' "$current"
		else
			mapfile -t COMPREPLY < <(compgen -W 'user tap:' -- "$current")
		fi
		;;
	URI)
		# bash has split the word at the colon, unless somebody has told it not to
		if [[ $current == unix:* ]]; then
			_kmcl_files unix: "${current#unix:}"
		else
			compopt -o nospace 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -W 'unix:' -- "$current")
		fi
		;;
	FILE | PATH | D) _kmcl_files '' "$current" ;;
	esac
}

_kmcl()
{
	local path=() control='' help options word previous='' takes='' i
	local current=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()

	# "unix:/run/x" comes as three words where the colon breaks them
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == : && ${COMP_WORDS[COMP_CWORD - 2]} == unix ]]; then
		_kmcl_files '' "$current"
		return
	elif [[ $current == : && ${COMP_WORDS[COMP_CWORD - 1]} == unix ]]; then
		_kmcl_files '' ''
		return
	fi
	help=$(_kmcl_help)
	options=$(_kmcl_options <<<"$help")
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ -n $takes ]]; then
			[[ $previous == --control || $previous == -c ]] && control=$word
			takes=
		elif [[ $word == -* ]]; then
			takes=$(sed -n "s/^$word \(.*\)/\1/p" <<<"$options")
			previous=$word
		elif [[ ${path[0]} != ctl ]] && _kmcl_commands <<<"$help" | grep -qE "^(${path[1]} )?$word( |\$)"; then
			path+=("$word")
			word=$(_kmcl_help "${path[@]:0:2}")
			[[ ${#path[@]} -gt 2 ]] || options=$(_kmcl_options <<<"$word")
			# the commands of disk are in guest's help
			[[ ${#path[@]} -gt 1 ]] || help=$word
		fi
	done

	if [[ -n $takes ]]; then
		_kmcl_value "$help" "$takes" "$current"
	elif [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${options//[A-Z:]/}" -- "$current")
	elif [[ ${path[0]} == ctl ]]; then
		[[ -S $control ]] || return
		help=$("${COMP_WORDS[0]/#\~/$HOME}" ctl --control "$control" help 2>/dev/null)
		mapfile -t COMPREPLY < <(compgen -W "$(_kmcl_commands <<<"$help" | cut -d' ' -f1 | sort -u)" -- "$current")
	elif [[ ${#path[@]} -lt 2 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_kmcl_commands <<<"$help" | cut -d' ' -f1 | sort -u)" -- "$current")
	elif [[ ${#path[@]} == 2 ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_kmcl_commands <<<"$help" | sed -n "s/^${path[1]} //p")" -- "$current")
	else
		_kmcl_files '' "$current"
	fi
}

complete -F _kmcl kmcl
