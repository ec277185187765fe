# SPDX-License-Identifier: BSD-2-Clause
# A guest that means ill leaves its host standing, and the guest of another host process alone.
# seconds: 35

root=rw
limit=400

guest()
{
	(hear stop; : >/run/stop) &
	tell working
	n=0
	until [ -e /run/stop ]; do
		n=$((n + 1))
		head -c 4000000 /dev/urandom >/file
		sum=$(sha256sum </file)
		sync
		echo 3 >/proc/sys/vm/drop_caches
		[ "$sum" = "$(sha256sum </file)" ] || break
	done
	check "the other guest's disk stays right" [ "$sum" = "$(sha256sum </file)" ]
	check 'and was worked on' [ "$n" -gt 1 ]
}

# ill SEED [OPTION]: one that means ill, for four rounds
ill()
{
	image=$(new_image 8M ill)
	# shellcheck disable=SC2086
	timeout -s KILL 60 kmcl boot $plain --kernel hostile --memory 64M --disk "$image" --keyboard --mouse --echo $2 \
		--append "seed=$1 rounds=4" </dev/null >"$PWD/out/$name.ill.$1" 2>&1 4>&- 3>&- || return 1
	grep -q 'hostile: rounds done 4' "out/$name.ill.$1" && not grep 'NOT CONNECTED' "out/$name.ill.$1"
}

host()
{
	start
	await working || return
	for seed in $(rounds '1 2 3' '1 2 3 4 5 6'); do
		check "the host outlives four rounds of malice, seed $seed" ill "$seed" ''
	done
	for seed in $(rounds '7 8' '7 8 9'); do
		check "the host outlives the like with monitored channels, seed $seed" ill "$seed" --monitored
	done
	tell stop
	finish
}
