# SPDX-License-Identifier: BSD-2-Clause
# User networking: a lease, a name, and 20 MB by HTTP each way, by checksum.
# seconds: 35

limit=150

guest()
{
	check 'DHCP' network
	check 'gives the address' sh -c 'ip -4 address show | grep -q 10.0.2.15'
	check 'DNS' sh -c 'busybox nslookup files.kmcl.test | grep -q 10.0.2.2'
	check '20 MB are fetched' curl -sS -f -o /tmp/file http://files.kmcl.test:8080/file
	tell "got $(sum /tmp/file)"
	check 'and sent back' curl -sS -f -H Expect: --data-binary @/tmp/file http://files.kmcl.test:8080/cgi-bin/put
}

host()
{
	memory=512M
	serve_files
	head -c 20000000 /dev/urandom >scratch/www/file
	serve_names
	boot --net user
	equal 'what came is what was sent' "$(sum scratch/www/file)" "$(told got)"
	equal 'and what went back, too' "$(sum scratch/www/file)" "$(sum scratch/www/put)"
}
