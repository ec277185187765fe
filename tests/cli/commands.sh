#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The kmcl command on a small disk: what it prints, what it exits with, what ends up in the image.
# Usage: commands.sh KMCL. Output: TAP.
kmcl=$1
. "$(dirname "$0")/tap.sh"

guest()
{
	timeout 20 "$kmcl" guest --connect "unix:$dir/bus" "$@"
}

head -c 4194304 /dev/urandom >"$dir/a.img"
head -c 4194304 /dev/urandom >"$dir/data"
truncate -s 4194304 "$dir/b.img"
cp "$dir/a.img" "$dir/a.before"
sum_a=$(sha256sum <"$dir/a.img" | cut -d' ' -f1)

check 'help' 0 "$kmcl" --help
look 'help tells of the commands' grep -q guest "$dir/out"
check 'version' 0 "$kmcl" --version
for c in host guest 'guest ls' 'guest disk' 'guest echo' demo; do
	# shellcheck disable=SC2086
	check "help of $c" 0 "$kmcl" $c --help
done
check 'no command is wrong usage' 2 "$kmcl"
check 'an unknown command is wrong usage' 2 "$kmcl" frobnicate
check 'an unknown option is wrong usage' 2 "$kmcl" host --frobnicate
check 'a host needs somewhere to listen' 2 "$kmcl" host --echo
check 'a host needs something to offer' 2 "$kmcl" host --listen "unix:$dir/x"
check 'an unknown disk option is wrong usage' 2 \
	"$kmcl" host --listen "unix:$dir/x" --disk "$dir/a.img,fast"
check 'a missing image fails' 1 timeout 20 "$kmcl" host --listen "unix:$dir/x" --disk "$dir/none"
look 'and is named' grep -q "$dir/none" "$dir/err"
check 'no host fails' 1 timeout 20 "$kmcl" guest --connect "unix:$dir/none" ls

start "$kmcl" host --listen "unix:$dir/bus" --disk "$dir/a.img,ro,serial=A1" --disk "$dir/b.img" \
	--disk "$dir/a.img,cd,lun=9" --echo
look 'the host says that it listens' grep -q "^listening on unix:$dir/bus$" "$dir/host.out"
check 'an image has one host' 1 timeout 20 "$kmcl" host --listen "unix:$dir/y" --disk "$dir/b.img"
check 'ls' 0 guest ls -vv
look 'no channel is monitored by default' sh -c "! grep -q monitored $dir/out"
look 'ls names the controller' grep -q 'Synthetic SCSI Controller' "$dir/out"
check 'ls as JSON' 0 guest --json ls
look 'which is JSON' python3 -m json.tool "$dir/out" "$dir/json"
check 'disk info' 0 guest disk info
look 'disk info knows the serial number' grep -q 'serial A1' "$dir/out"
look 'and counts the CD drive' grep -q '3 units' "$dir/out"
check 'disk info as JSON' 0 guest --json disk info
look 'which is JSON, too' python3 -m json.tool "$dir/out" "$dir/json"
check 'disk read' 0 guest disk read "$dir/copy"
look 'what was read is the image' cmp "$dir/a.img" "$dir/copy"
check 'disk read to standard output' 0 guest disk read --offset 1M --length 4k -
look 'is that range' sh -c "tail -c +1048577 $dir/a.img | head -c 4096 | cmp - $dir/out"
check 'a length past the end fails' 1 guest disk read --offset 1M --length 4M "$dir/copy"
check 'half a block fails' 1 guest disk read --length 700 "$dir/copy"
check 'a read-only disk is not written' 1 guest disk write "$dir/data"
look 'and is as it was' cmp "$dir/a.img" "$dir/a.before"
check 'disk write' 0 guest disk write --disk 0:1 -s 64k -d 8 "$dir/data"
look 'what was written is in the image' cmp "$dir/b.img" "$dir/data"
check 'disk verify with a file' 0 guest disk verify --disk 0:1 "$dir/data"
check 'disk verify with a hash' 0 guest disk verify --sha256 "$sum_a"
check 'another file does not match' 3 guest disk verify "$dir/data"
check 'another hash does not match' 3 guest disk verify --disk 0:1 --sha256 "$sum_a"
check 'no such disk' 1 guest disk verify --disk 1:9 "$dir/data"
check 'disk bench' 0 guest --json disk bench -t 1 -d 4
look 'which is JSON as well' python3 -m json.tool "$dir/out" "$dir/json"
check 'echo' 0 guest --json echo -n 2000 -d 8 -s 200
look 'of which all came back' grep -q '"mismatches": 0' "$dir/out"
check 'echo one way' 0 guest echo -n 2000 -d 8 --one-way
kill "$host"
wait "$host"
report 'the host ends well' 0 $? "$dir/host.err"
look 'and says what it did' grep -q 'requests: ' "$dir/host.out"
look 'without an error' test ! -s "$dir/host.err"
host=
start "$kmcl" host --listen "unix:$dir/bus" --disk "$dir/b.img" --echo --ic --monitored ||
	bail_out 'the host does not start'
check 'ls of a monitored host' 0 guest ls -vv
look 'but the integration components all are' sh -c \
	"test \$(grep -c ', monitored,' $dir/out) = 2 && test \$(grep -c VMBUS.ID $dir/out) -gt 2"
check 'disk read through the monitor page' 0 guest disk read "$dir/copy"
look 'reads the image' cmp "$dir/b.img" "$dir/copy"
# Threads of the library and its services; those of io_uring are the kernel's.
blocking()
{
	for t in "/proc/$host/task/"*; do
		case $(cat "$t/comm") in
		kmcl | iou-*) ;;
		*) sed -n "s/^SigBlk:/$(cat "$t/comm" | tr / -)/p" "$t/status" ;;
		esac
	done
}
blocking >"$dir/out"
look 'the host has threads of several kinds' sh -c \
	"grep -q kmcl-dpc $dir/out && grep -q disk-image $dir/out"
# All but SIGKILL, SIGSTOP and the two of the C library.
look 'which take none of its signals' sh -c "! grep -v 'fffffffe7ffbfeff$' $dir/out"
end_host
check 'demo' 0 env TMPDIR="$dir" timeout 60 "$kmcl" demo --size 8M --json
look 'whose figures are JSON' python3 -m json.tool "$dir/out" "$dir/json"
look 'and which cleans up' sh -c "! ls -d $dir/kmcl-demo-*"
echo "1..$count"
