#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# kmcl ctl shutdown, with a guest that does not answer: one that leaves the bus has agreed, and one that stays has not.
# Usage: leaving.sh KMCL LEAVING_GUEST. Output: TAP.
kmcl=$1
leaving=$2
. "$(dirname "$0")/tap.sh"

guest=
clean()
{
	[ -z "$guest" ] || kill "$guest" 2>/dev/null
}

# be WHAT: a host, and a guest that has agreed on versions with it
be()
{
	start "$kmcl" host --listen "unix:$dir/bus" --control "$dir/control" --ic || bail_out 'the host does not start'
	: >"$dir/guest.out"
	"$leaving" "unix:$dir/bus" "$1" >"$dir/guest.out" 2>"$dir/guest.err" &
	guest=$!
	wait_until grep -q '^ready' "$dir/guest.out" || bail_out 'the guest does not open its component'
}

be bus
check 'a guest that leaves the bus has agreed' 0 timeout 60 "$kmcl" ctl --control "$dir/control" shutdown
wait "$guest"
report 'and it has left' 0 $? "$dir/guest.err"
guest=
be channel
check 'one that closes its channel alone has not' 1 timeout 60 "$kmcl" ctl --control "$dir/control" shutdown
look 'which is said' grep -q 'driver went away' "$dir/err"
echo "1..$count"
