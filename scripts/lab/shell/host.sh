# SPDX-License-Identifier: BSD-2-Clause
# The end of a test around the guest: what host() of a test calls. Lines on descriptor 3 are the result.
# $plain: options of kmcl boot for an emulated processor.

. ./both.sh

# A test may set these before it boots a guest.
kernel=cloud    # or full
root=ro         # or none: no disk but an initramfs; or rw: a root image of this test's own, root-rw
cpus=1
memory=256M
append=         # more for the kernel's command line
limit=60        # seconds until the guest is killed
as=             # what names of this guest's results begin with
complains=      # a pattern for warnings that this test causes
control=        # the path of a control socket
guests=0

report()
{
	case $1 in
	'ok '* | 'not ok '*) [ -z "$as" ] || set -- "$(echo "$1" | sed "s|^\(not \)\?ok |&$as: |")" ;;
	esac
	echo "$*" >&3
}

# Warnings of a stock kernel on a machine without PCI, none of which is about VMBus or a device on it.
known='Speculative Return Stack Overflow|PCI: Fatal: No config space access function found|PCI: System does not support PCI'
known="$known|Unable to read current time from RTC|Spectre V2|RETBleed|ACPI: .* errata|x86/cpu: |hrtimer: interrupt took|^ *#[0-9]+\$"

# rounds SHORT LONG: how many there are to be
rounds()
{
	if [ -e long ]; then echo "$2"; else echo "$1"; fi
}

# start OPTION...: boots a guest of this test, with more options for kmcl boot
start()
{
	guests=$((guests + 1))
	log=$PWD/out/$name.$guests
	: >"$log"
	rm -f tty
	mkfifo tty
	exec 4<>tty
	set -- --kernel "vmlinuz-$kernel" --initrd "guest-$kernel.cpio.gz" --cpus "$cpus" --memory "$memory" \
		${control:+--control "$control"} "$@"
	case $root in
	ro) set -- --disk root,ro "$@" ;;
	rw) set -- --disk root-rw "$@" ;;
	esac
	# shellcheck disable=SC2086
	timeout -s KILL "$limit" kmcl boot $plain "$@" \
		--append "console=ttyS0 quiet kmcl.test=$test kmcl.root=$root $append" <&4 >"$log" 2>"$log.err" 3>&- &
	guest=$!
}

# monitor COMMAND...: boots a guest of this test in another monitor than kmcl boot
monitor()
{
	guests=$((guests + 1))
	log=$PWD/out/$name.$guests
	: >"$log"
	timeout -s KILL "$limit" "$@" </dev/null >"$log" 2>"$log.err" 3>&- &
	guest=$!
}

said()
{
	grep -q "^:: says $*" "$log"
}

alive_or_said()
{
	said "$@" || ! kill -0 "$guest" 2>/dev/null
}

# await WORD...: waits until the guest says that
await()
{
	within "${wait:-30}" alive_or_said "$@"
	said "$@" && return
	report "not ok the guest says '$*'"
	return 1
}

# told WORD: what the guest said after that word
told()
{
	sed -n "s/^:: says $1 //p" "$log" | tr -d '\r' | tail -n 1
}

# tell WORD...: for the guest's hear
tell()
{
	echo "$*" >&4
}

ctl()
{
	kmcl ctl --control "$control" "$@"
}

# finish [STATUS]: waits for the guest's end, hands on its results, and judges how it ended
finish()
{
	status=0
	wait "$guest" || status=$?
	exec 4>&-
	tr -d '\r' <"$log" | sed -n 's/^:: \(ok \|not ok \|# \)/\1/p' >results
	while read -r line; do report "$line"; done <results
	if [ "$status" != "${1:-0}" ]; then
		report "not ok the monitor ends with ${1:-0}"
		report "# it ended with $status"
		tail -n 20 "$log" "$log.err" | while read -r line; do report "# $line"; done
		return 1
	fi
	[ "${1:-0}" != 0 ] || ended
}

ended()
{
	if ! grep -q '^:: end' "$log"; then
		report "not ok the guest comes to its end"
		tail -n 20 "$log" | while read -r line; do report "# $line"; done
		return 1
	fi
	tr -d '\r' <"$log" | sed -n 's/^:: dmesg //p' | grep -vE "$known${complains:+|$complains}" >complaints
	check "the guest's kernel complains of nothing" not cat_some complaints
}

cat_some()
{
	cat "$1"
	[ -s "$1" ]
}

boot()
{
	start "$@"
	finish
}

# new_image SIZE NAME: an empty image in the scratch space
new_image()
{
	rm -f "scratch/$2"
	truncate -s "$1" "scratch/$2"
	echo "scratch/$2"
}

# daemon COMMAND...: runs in the background until the test is over
daemon()
{
	"$@" </dev/null >"out/$name.$1" 2>&1 3>&- 4>&- &
	daemons="${daemons:-} $!"
}

# skip WHAT WHY
skip()
{
	report "ok $1 # SKIP $2"
}

heartbeat_is()
{
	[ "$(ctl heartbeat)" = "$1" ]
}

make_tap()
{
	tunctl -t "$1" && ip address add 192.168.77.1/24 dev "$1" && ip link set "$1" up
}

# tap NAME: a network of the host (192.168.77.1) and a guest
tap()
{
	taps="${taps:-} $1"
	check 'a TAP device is made' make_tap "$1"
}

listens()
{
	netstat -ltun | grep -q "[:.]$1 "
}

# A web server on port 8080 for scratch/www; what is sent to cgi-bin/put becomes the file put.
serve_files()
{
	mkdir -p scratch/www/cgi-bin
	cat >scratch/www/cgi-bin/put <<-'P'
	#!/bin/sh
	head -c "$CONTENT_LENGTH" >../put
	printf 'Content-Type: text/plain\r\n\r\n'
	P
	cat >scratch/www/cgi-bin/sum <<-'P'
	#!/bin/sh
	printf 'Content-Type: text/plain\r\n\r\n'
	sha256sum <../put | cut -d' ' -f1
	P
	chmod +x scratch/www/cgi-bin/*
	daemon httpd -f -p 8080 -h scratch/www
	within 5 listens 8080
}

# A name server that knows all names in kmcl.test, which user networking asks on its guest's behalf.
serve_names()
{
	daemon dnsmasq -k -C /dev/null --no-resolv --no-hosts --pid-file= --user=root --address=/kmcl.test/10.0.2.2 \
		--listen-address=127.0.0.1 --bind-interfaces
	within 5 listens 53
}

# Blocks of 512 bytes that a file takes.
blocks()
{
	stat -c %b "$1"
}
