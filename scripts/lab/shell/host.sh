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
known="$known|Unable to read current time from RTC|Spectre V2|RETBleed|ACPI: .* errata|x86/cpu: "

# start OPTION...: boots a guest of this test, with more options for kmcl boot
start()
{
	guests=$((guests + 1))
	log=$PWD/out/$name.$guests
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
		report "not ok kmcl boot ends with ${1:-0}"
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

# Blocks of 512 bytes that a file takes.
blocks()
{
	stat -c %b "$1"
}
