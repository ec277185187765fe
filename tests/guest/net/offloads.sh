# SPDX-License-Identifier: BSD-2-Clause
# Each offload switched off and on, with a transfer each way by checksum.
# seconds: 40

limit=120

transfer()
{
	curl -sS -f -o /tmp/back http://192.168.77.1:8080/file && cmp /tmp/back /tmp/file &&
		curl -sS -f -H Expect: --data-binary @/tmp/file http://192.168.77.1:8080/cgi-bin/put &&
		[ "$(curl -sS -f http://192.168.77.1:8080/cgi-bin/sum)" = "$(sum /tmp/file)" ]
}

guest()
{
	check 'the network is up' static_network
	curl -sS -f -o /tmp/file http://192.168.77.1:8080/file
	equal 'a file is there to go by' 1000000 "$(stat -c %s /tmp/file)"
	for offload in tx rx sg tso gso gro; do
		case $(ethtool -k "$nic" | grep "^$(long_name $offload):") in
		*'[fixed]'*) report "# $offload is fixed"; continue ;;
		esac
		check "$offload off" ethtool -K "$nic" $offload off
		check "transfers without $offload" transfer
		check "$offload on" ethtool -K "$nic" $offload on
		check "transfers with $offload" transfer
	done
	check 'all off' ethtool -K "$nic" tso off gso off gro off tx off rx off
	check 'transfers without any' transfer
}

long_name()
{
	case $1 in
	tx) echo tx-checksumming ;;
	rx) echo rx-checksumming ;;
	sg) echo scatter-gather ;;
	tso) echo tcp-segmentation-offload ;;
	gso) echo generic-segmentation-offload ;;
	gro) echo generic-receive-offload ;;
	esac
}

host()
{
	tap t0 || return
	serve_files
	head -c 1000000 /dev/urandom >scratch/www/file
	boot --net tap:t0
}
