# SPDX-License-Identifier: BSD-2-Clause
# For both ends of a test: the one in the guest and the one around it. Each has its own report().

# check NAME COMMAND...: a line of the result; what the command printed is shown if it failed
check()
{
	check_name=$1
	shift
	check_status=0
	"$@" >/tmp/check 2>&1 </dev/null || check_status=$?
	if [ "$check_status" = 0 ]; then
		report "ok $check_name"
		return
	fi
	report "not ok $check_name"
	report "# exit status $check_status of: $*"
	tail -n 20 /tmp/check | while read -r check_line; do report "# $check_line"; done
	return 1
}

# refused NAME COMMAND...: the command has to fail
refused()
{
	check_name=$1
	shift
	check "$check_name" not "$@"
}

not()
{
	! "$@"
}

# equal WHAT EXPECTED SEEN; that nothing was expected and nothing seen is no success
equal()
{
	if [ -n "$2" ] && [ "$2" = "$3" ]; then
		report "ok $1"
		return
	fi
	report "not ok $1"
	report "# expected '$2', saw '$3'"
	return 1
}

# within SECONDS COMMAND...: tries ten times a second until the command succeeds
within()
{
	within_left=$(($1 * 10))
	shift
	until "$@"; do
		[ "$within_left" -gt 0 ] || return 1
		within_left=$((within_left - 1))
		sleep 0.1
	done
}

sum()
{
	sha256sum <"$1" | cut -d' ' -f1
}

# The time since the machine's start, in hundredths of a second.
centiseconds()
{
	tr -d . </proc/uptime | cut -d' ' -f1
}
