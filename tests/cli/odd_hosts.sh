#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The kmcl command's guest at hosts that do not answer, or answer with failures: it ends, with a status
# that is not 0, and says what happened and for what it waited.
# Usage: odd_hosts.sh KMCL ODD_HOST_PROCESS. Output: TAP.
kmcl=$1
odd=$2
. "$(dirname "$0")/tap.sh"

# be WHAT: a host that does that
be()
{
	start "$odd" "unix:$dir/bus" "$1" || bail_out 'the odd host does not start'
}

# guest EXPECTED_EXIT NAME ARGUMENT...: what it prints is in $dir/out and $dir/err
guest()
{
	expected=$1 name=$2
	shift 2
	timeout 60 "$kmcl" guest --connect "unix:$dir/bus" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	report "$name" "$expected" $? "$dir/out" "$dir/err"
}

# says TEXT: on standard error, by the last guest
says()
{
	grep -q "$1" "$dir/err"
	report "which says '$1'" 0 $? "$dir/err"
}

head -c 65536 /dev/urandom >"$dir/data"

be good
guest 0 'a host that does nothing wrong' disk read "$dir/copy"
guest 0 'its bench' disk bench -t 1

be silent
guest 1 'disk info without an answer ends' --timeout 3000 disk info
says 'waiting for the host, at most 3 s: the list of the disks'
says 'no answer in 3.0 s: the list of the disks'
guest 1 'disk read too' --timeout 3000 disk read --disk 0:0 "$dir/copy"
says 'no answer in 3.0 s: what disk 0:0 is'

be silent-reads
guest 1 'reads without an answer' --timeout 3000 disk read "$dir/copy"
says 'waiting for the host.*: reads of the disk'
says 'no answer in 3.0 s: reads of the disk'
guest 1 'random reads' --timeout 3000 disk bench -t 600
says 'no answer in 3.0 s: random reads'

be silent-flushes
guest 1 'a flush without an answer' --timeout 3000 disk write "$dir/data"
says 'no answer in 3.0 s: what was written to be on stable storage'

be silent-echo
guest 1 'echo without an answer' --timeout 3000 echo
says 'waiting for the host.*: the echo of a packet'
says 'no answer in 3.0 s: the echo of a packet'

be mute
guest 1 'a controller that does not negotiate' --timeout 3000 disk info
says 'the host offers no SCSI controller: no answer in time'

be conflict
guest 1 'reads that end with RESERVATION CONFLICT' disk read "$dir/copy"
says 'RESERVATION CONFLICT'
guest 1 'their bench' disk bench -t 1
says 'RESERVATION CONFLICT'

be medium
guest 1 'reads that end with a medium error' disk read "$dir/copy"
says 'SCSI status CHECK CONDITION, SRB status 0x84, sense 03/1100'
guest 1 'verifying them' disk verify --sha256 "$(sha256sum <"$dir/data" | cut -d' ' -f1)"

be nothing
guest 1 'reads that move nothing' disk read "$dir/copy"
guest 1 'and are not counted' disk bench -t 1

# A control socket that takes the connection and the words, and is silent for a while.
end_host
python3 - "$dir/control" <<'PYTHON' &
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind(sys.argv[1])
s.listen(4)
c, _ = s.accept()
time.sleep(3)
c.send(b"0 \nkey=A\x1b[31mB\xc2\x9bC\n")
PYTHON
host=$!
wait_until [ -S "$dir/control" ]
timeout 20 "$kmcl" ctl --control "$dir/control" kvp list >"$dir/out" 2>"$dir/err"
report 'a slow answer of a control socket' 0 $? "$dir/out" "$dir/err"
says 'waiting for the host: its answer on the control socket'
grep -q '^key=A?\[31mB??C$' "$dir/out"
report 'in which there are no control characters' 0 $? "$dir/out"
end_host

# Not only the commands' own texts: what a host says when it refuses.
python3 - "$dir/refusing" <<'PYTHON' &
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen(4)
while True:
    c, _ = s.accept()
    c.recv(4096)
    text = b"A\x1b[31mB\x9b31mC\xc2\x9b31mD\x07\x7f\r\nE"
    c.send(struct.pack("<HHI", 3, 8 + len(text), 5) + text)
    c.close()
PYTHON
host=$!
wait_until [ -S "$dir/refusing" ]
timeout 20 "$kmcl" guest --connect "unix:$dir/refusing" --timeout 2000 ls >"$dir/out" 2>"$dir/err"
report 'a refusal ends the guest' 1 $? "$dir/out" "$dir/err"
says 'A?\[31mB'
tr -d '\n' <"$dir/err" | LC_ALL=C grep -q '[[:cntrl:]]'
report 'no control character of it comes out' 1 $? "$dir/err"
LC_ALL=C grep -q "$(printf '[\200-\237]')" "$dir/err"
report 'none of C1 either' 1 $? "$dir/err"

echo "1..$count"
