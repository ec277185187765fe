#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What the kmcl command says when it is told nonsense, or cannot do or write something: the words that
# help, on standard error, and the exit status that kmcl(1) has for it.
# Usage: words.sh KMCL. Output: TAP.
kmcl=$1
. "$(dirname "$0")/tap.sh"

# says EXPECTED_EXIT TEXT COMMAND...: with nothing on standard output, and that on the other one
says()
{
	expected=$1 text=$2
	shift 2
	timeout 30 "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	shift
	report "'$*' ends with $expected" "$expected" "$status" "$dir/out" "$dir/err"
	grep -q -e "$text" "$dir/err" && [ ! -s "$dir/out" ] && ! grep -q Success "$dir/err"
	report "and says '$text'" 0 $? "$dir/out" "$dir/err"
}

usage()
{
	says 2 "$@"
	grep -q "^Try 'kmcl .*--help'\.$" "$dir/err"
	report 'and where help is' 0 $? "$dir/err"
}

# prints TEXT COMMAND...: on standard output, and nothing on the other one
prints()
{
	text=$1
	shift
	timeout 30 "$@" >"$dir/out" 2>"$dir/err" </dev/null
	report "'$*'" 0 $? "$dir/out" "$dir/err"
	grep -q -e "$text" "$dir/out" && [ ! -s "$dir/err" ]
	report "prints '$text'" 0 $? "$dir/out" "$dir/err"
}

# full COMMAND...: with no room for what it prints
full()
{
	timeout 30 "$@" >/dev/full 2>"$dir/err" </dev/null
	report "'$*' on a full device fails" 1 $? "$dir/err"
	grep -q '^kmcl: standard output: No space left on device$' "$dir/err"
	report 'and says so' 0 $? "$dir/err"
}

serve()
{
	start "$kmcl" host --listen "unix:$dir/bus" --control "$dir/control" "$@" ||
		bail_out 'the host does not start'
}

ctl=$dir/ctl
cat >"$ctl" <<CTL
#!/bin/sh
exec "$kmcl" ctl --control "$dir/control" "\$@"
CTL
chmod +x "$ctl"

truncate -s 1M "$dir/a.img"
: >"$dir/empty.img"
socket="unix:$dir/x"

# ---- wrong usage, before anything is tried ----
usage 'what shall it do' "$kmcl"
usage "no command 'frobnicate'" "$kmcl" frobnicate
usage "no option '--frobnicate'" "$kmcl" host --frobnicate
usage "no option '-x'" "$kmcl" host --echo -qx
usage '--json=3: it takes no value' "$kmcl" guest --json=3 ls
usage '--listen needs a value' "$kmcl" host --listen
usage '-l needs a value' "$kmcl" host -l
usage '-c needs a value' "$kmcl" guest -c
usage '--control needs a value' "$kmcl" ctl --control
usage '--size needs a value' "$kmcl" demo --size
usage '--count needs a value' "$kmcl" guest echo --count
usage '--offset needs a value' "$kmcl" guest disk read --offset
usage 'give --disk, --net, --keyboard, --mouse, --echo or --ic' "$kmcl" host
usage 'give --disk, --net, --keyboard, --mouse, --echo or --ic' "$kmcl" host --listen "$socket"
usage '--listen unix:PATH is needed' "$kmcl" host --echo
usage 'both ends of it are in one process' "$kmcl" host --listen local:x --echo
usage '--listen takes unix:PATH' "$kmcl" host --listen foo --echo
usage '--listen takes unix:PATH' "$kmcl" host --listen kvm:x --echo
usage '--listen takes unix:PATH' "$kmcl" host --listen unix: --echo
usage 'at most 107 characters' "$kmcl" host --listen "unix:/$(printf '%0120d' 0)" --echo
usage 'at most 107 characters' "$kmcl" host --listen "$socket" --echo --control "$(printf '%0120d' 0)"
usage 'at most 107 characters' "$kmcl" ctl --control "$(printf '%0120d' 0)" ls
usage '--control: no name' "$kmcl" ctl --control '' ls
usage '--connect takes unix:PATH' "$kmcl" guest --connect foo ls
usage 'both ends of it are in one process' "$kmcl" guest --connect local:x ls
usage '--connect unix:PATH is needed' "$kmcl" guest ls
usage 'VMBus has no version 9.9; the newest is 6.0' "$kmcl" host --listen "$socket" --echo --version-max 9.9
usage '--version-max takes a version' "$kmcl" host --listen "$socket" --echo --version-max five
for megabytes in abc '' 15 1048577 64M -64 ' 64'; do
	usage "KMCL_RAM_MB in the environment takes 16 to 1048576, not '$megabytes'" \
		env KMCL_RAM_MB="$megabytes" "$kmcl" guest --connect "unix:$dir/none" ls
done
for option in 'lun=64: LUNs are 0 to 63' 'target=2: targets are 0 and 1' 'block=1024: blocks have 512 or 4096' \
	'serial=: serial numbers have 1 to 36' 'fast: there is no such option' \
	'format=qcow2: raw is the only format'; do
	usage "'${option%%:*}':${option#*:}" "$kmcl" host --listen "$socket" --disk "$dir/a.img,${option%%:*}"
done
usage 'format=raw is for disks' "$kmcl" host --listen "$socket" --disk "$dir/a.img,cd,format=raw"
usage 'no image' "$kmcl" host --listen "$socket" --disk ,ro
usage '1 to 8 queues' "$kmcl" host --listen "$socket" --net user,queues=9
usage 'not the address of one adapter' "$kmcl" host --listen "$socket" --net user,mac=01:00:00:00:00:00
usage 'only user networking forwards' "$kmcl" host --listen "$socket" --net tap:t0,hostfwd=tcp::1-:2
"$kmcl" host --listen "$socket" --net user,hostfwd=tcp 2>&1 | grep -q libslirp || # built without it
	says 2 '--net: ' "$kmcl" host --listen "$socket" --net user,hostfwd=tcp
says 2 'at most 15 characters' "$kmcl" host --listen "$socket" --net tap:0123456789abcdef
usage 'no such option of an adapter' "$kmcl" host --listen "$socket" --net user,fast
usage '64 hexadecimal digits, not .00.' "$kmcl" guest --connect "unix:$dir/none" disk verify --sha256 00
usage '--disk takes TARGET:LUN' "$kmcl" guest --connect "unix:$dir/none" disk read --disk 3 x
usage '--size takes 512 to 4M' "$kmcl" guest --connect "unix:$dir/none" disk read --size 1 x
usage 'a FILE is needed' "$kmcl" guest --connect "unix:$dir/none" disk read
usage "no command 'frob'" "$kmcl" guest --connect "unix:$dir/none" disk frob
usage '--count takes 1 to 256M' "$kmcl" guest --connect "unix:$dir/none" echo -n 0
usage '--size takes 8 to 64k' "$kmcl" guest --connect "unix:$dir/none" echo -s 4
usage "no use for 'x'" "$kmcl" guest --connect "unix:$dir/none" ls x
usage 'no command .frobnicate.' "$kmcl" help frobnicate

if "$kmcl" --help | grep -q '^  boot '; then
	usage '--disk needs a value' "$kmcl" boot --disk
	usage 'VMBus has no version 5.9' "$kmcl" boot --kernel x --version-max 5.9
fi

# ---- help ----
prints '^Usage: kmcl COMMAND' "$kmcl" help
prints '^Usage: kmcl host' "$kmcl" help host
prints '^Usage: kmcl guest .* disk info' "$kmcl" help guest disk
prints '^Usage: kmcl demo' "$kmcl" help demo

# ---- images that are none ----
says 1 "empty.img: it is empty: 'truncate -s SIZE'" "$kmcl" host --listen "$socket" --disk "$dir/empty.img"
gzip -c "$dir/a.img" >"$dir/a.gz"
xz -c "$dir/a.img" >"$dir/a.xz"
says 1 "a.gz: it is compressed with gzip, .*'gzip -dc .*/a.gz >raw.img'.*format=raw" \
	"$kmcl" host --listen "$socket" --disk "$dir/a.gz"
says 1 'a.xz: it is compressed with xz' "$kmcl" host --listen "$socket" --disk "$dir/a.xz,cd"
printf 'QFI\373' | dd of="$dir/a.img" conv=notrunc 2>"$dir/err"
says 1 "a.img: it is a qcow2 image, .*'qemu-img convert -f qcow2 -O raw .*/a.img raw.img'" \
	"$kmcl" host --listen "$socket" --disk "$dir/a.img"
serve --disk "$dir/a.img,format=raw" --keyboard --mouse --echo --ic
report 'format=raw insists' 0 $? "$dir/host.err"

# ---- commands to a host ----
usage "no command 'frob'; 'help' lists them" "$ctl" frob
usage "'disk list' takes no more words" "$ctl" disk list x
usage "'disk add' takes IMAGE" "$ctl" disk add
usage "'kvp set' takes" "$ctl" kvp set key
usage "'shutdown' takes no more words" "$ctl" shutdown now
usage "a place is LUN or TARGET:LUN, not 'x'" "$ctl" disk remove x
usage "'lun=64': LUNs are 0 to 63" "$ctl" disk add "$dir/b.img,lun=64"
usage 'the pools are external' "$ctl" kvp get nowhere:key
usage "no service 'frob'" "$ctl" rescind frob
usage "ls takes -v, not '-w'" "$ctl" ls -w
usage "ls takes -v, not ''" "$ctl" ls ''
usage "'type' takes TEXT" "$ctl" type
usage "no key of a US keyboard has 'ü' (U+00FC)" "$ctl" type 'grün'
usage "no key of a US keyboard has '€' (U+20AC)" "$ctl" type '5 €'
usage 'no key of a US keyboard has the byte 0xff' "$ctl" type "$(printf 'a\377')"
usage "'click' takes X Y" "$ctl" click 1
usage "each 0 to 32767, not '1 32768'" "$ctl" pointer 1 32768
usage "each 0 to 32767, not '-1 1'" "$ctl" click -1 1
usage 'there may be --button NAME' "$ctl" click 1 2 3
usage 'there may be --button NAME' "$ctl" click 1 2 --button
usage "side and extra, not 'upper'" "$ctl" click 1 2 --button=upper
usage "side and extra, not ''" "$ctl" click 1 2 --button ''
usage "and force, not 'now'" "$ctl" cd eject 0 now
says 1 "no disk at '9'" "$ctl" disk remove 9
usage "'0' is no size" "$ctl" disk resize 0 0
usage "'1P' is no size" "$ctl" disk resize 0 1P
says 1 'does not shrink' "$ctl" disk resize 0 512
says 1 "it is compressed with gzip" "$ctl" disk add "$dir/a.gz"
# Each waits for the driver for a while: all of them at once.
asked=0
for words in 'kvp get key' 'kvp set key value' 'kvp delete key' 'kvp list' 'kvp ip 00:11:22:33:44:55' \
	shutdown reboot hibernate 'clock set' 'type x' 'pointer 1 2' 'click 1 2 --button=right'; do
	asked=$((asked + 1))
	echo "$words" >"$dir/asked.$asked"
	# shellcheck disable=SC2086
	(timeout 30 "$ctl" $words >"$dir/out.$asked" 2>"$dir/err.$asked" </dev/null; echo $? >"$dir/status.$asked") &
done
for n in $(seq $asked); do
	wait_until [ -s "$dir/status.$n" ]
	report "'$(cat "$dir/asked.$n")' ends with 1" 1 "$(cat "$dir/status.$n")" "$dir/out.$n" "$dir/err.$n"
	grep -q "the guest's driver is not there" "$dir/err.$n" && [ ! -s "$dir/out.$n" ]
	report "and says that the guest's driver is not there" 0 $? "$dir/err.$n"
done
prints 'Packets in/out' "$ctl" ls -vv
prints 'Packets in/out' "$ctl" ls -v --verbose

# ---- what cannot be written ----
full "$kmcl" help
full "$kmcl" --version
full "$kmcl" help guest disk
full "$kmcl" host --listen "$socket" --echo
full "$kmcl" guest --connect "unix:$dir/bus" ls
full "$kmcl" guest --connect "unix:$dir/bus" --json disk info
full "$kmcl" guest --connect "unix:$dir/bus" echo -n 10
full "$kmcl" guest --connect "unix:$dir/bus" disk read -
full "$ctl" info
full "$ctl" --json disk list
says 1 'full: No space left on device' "$kmcl" guest --connect "unix:$dir/bus" disk read /dev/full
# Only a part of it can be: to a file that may be no larger, which is no error of the call's.
says 1 'File too large' sh -c "trap '' XFSZ; ulimit -f 16; exec $kmcl demo --json --size 8M --directory $dir"
end_host

echo "1..$count"
