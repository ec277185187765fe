# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# What the scripts here share: TAP, a directory of their own in $dir, and a process beside them. The one that
# reads this may have a function clean(), for what else is to be undone at its end.
dir=$(mktemp -d)
host=
count=0

end_host()
{
	[ -n "$host" ] && kill "$host" 2>/dev/null && wait "$host" 2>/dev/null
	host=
}

clean()
{
	:
}

end_all()
{
	end_host
	clean
	rm -rf "$dir"
}
trap end_all EXIT

# report NAME EXPECTED_EXIT EXIT FILE...
report()
{
	count=$((count + 1))
	if [ "$3" -eq "$2" ]; then
		echo "ok $count - $1"
		return
	fi
	echo "not ok $count - $1"
	echo "# exit status $3, expected $2"
	shift 3
	sed 's/^/# /' "$@"
}

# check NAME EXPECTED_EXIT COMMAND...: its output is in $dir/out and $dir/err
check()
{
	name=$1 expected=$2
	shift 2
	"$@" >"$dir/out" 2>"$dir/err" </dev/null
	report "$name" "$expected" $? "$dir/out" "$dir/err"
}

# look NAME COMMAND...: at what the last check left
look()
{
	name=$1
	shift
	"$@" >"$dir/look" 2>&1 </dev/null
	report "$name" 0 $? "$dir/look" "$dir/out" "$dir/err"
}

# wait_until COMMAND...: for 20 s, or until the process beside us has ended
wait_until()
{
	for _ in $(seq 200); do
		"$@" 2>/dev/null && return 0
		kill -0 "$host" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# start COMMAND...: a host in place of the last one, until it listens; false: it does not
start()
{
	end_host
	: >"$dir/host.out" # what the last one said is not this one's word
	"$@" >"$dir/host.out" 2>"$dir/host.err" &
	host=$!
	wait_until grep -q '^listening' "$dir/host.out"
}

# bail_out WHAT: nothing after it makes sense
bail_out()
{
	echo "Bail out! $1"
	[ ! -s "$dir/host.err" ] || sed 's/^/# /' "$dir/host.err"
	exit 1
}
