# SPDX-License-Identifier: BSD-2-Clause
# What is typed and clicked on the host arrives in the guest: as events, and as text on its console.
# seconds: 30

control=control
limit=120

# event NAME: the device of the input device of that name
event()
{
	for path in /sys/class/input/event*; do
		! grep -q "$1" "$path/device/name" || echo "/dev/input/${path##*/}"
	done
}

has_event()
{
	[ -c "$(event "$1")" ]
}

# events FILE: "TYPE CODE VALUE;" of each in a file of struct input_event, without EV_MSC and EV_SYN
events()
{
	od -An -v -t d4 -w24 "$1" | awk '$5 % 65536 != 0 && $5 % 65536 != 4 { print $5 % 65536, int($5 / 65536), $6 ";" }' | tr -d '\n'
}

# So many bytes are there: 24 an event, of which EV_MSC and EV_SYN are some.
has_bytes()
{
	[ "$(wc -c <"$1")" -ge "$2" ]
}

# record NAME FILE: what that device says, from now on
record()
{
	node=$(event "$1")
	cat "$node" >"$2" &
	within 10 [ -e "$2" ]
}

mouse='Vmbus HID-compliant Mouse'

# As EV_ABS, and of what changed alone; the buttons are BTN_LEFT and BTN_RIGHT.
with_mouse()
{
	modprobe hid_generic
	check 'the mouse is an input device' within 10 has_event "$mouse"
	record "$mouse" /run/moves
	tell mouse
	hear clicked
	within 10 has_bytes /run/moves 408
	equal 'its events are where it was, and the clicks' \
		'3 0 100;3 1 32767;1 272 1;1 272 0;3 0 101;1 273 1;1 273 0;' "$(events /run/moves)"
	check 'its driver is unloaded' rmmod hid_hyperv
	check 'and loaded again' modprobe hid_hyperv
	check 'it has its device again' within 10 has_event "$mouse"
}

guest()
{
	modprobe -a evdev hyperv_keyboard
	check 'the keyboard is an input device' within 10 has_event 'AT .* keyboard'
	record 'AT .* keyboard' /run/keys
	(read -r line </dev/tty1; echo "$line" >/run/line) &
	tell keys
	hear typed
	# Shift and H, i, Enter, each down and up: EV_KEY with the keys' numbers in linux/input-event-codes.h.
	within 10 has_bytes /run/keys 576
	equal 'the events are those of the keys' \
		'1 42 1;1 35 1;1 35 0;1 42 0;1 23 1;1 23 0;1 28 1;1 28 0;' "$(events /run/keys)"
	equal 'and on the console they are a text' Hi "$(within 10 [ -s /run/line ] && cat /run/line)"
	(IFS= read -r line </dev/tty1; echo "$line" >/run/all) &
	tell all
	hear typed
	equal 'so is each character that can be printed' \
		' !"#$%&'"'"'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmnopqrstuvwxyz{|}~' \
		"$(within 10 [ -s /run/all ] && cat /run/all)"
	check 'the driver is unloaded' rmmod hyperv_keyboard
	tell unloaded
	hear refused
	check 'and loaded again' modprobe hyperv_keyboard
	check 'it has its device' within 10 has_event 'AT .* keyboard'
	record 'AT .* keyboard' /run/again
	tell again
	hear typed
	within 10 has_bytes /run/again 144
	equal 'and the keys' '1 30 1;1 30 0;' "$(events /run/again)"
	if modprobe hid_hyperv 2>/dev/null; then
		with_mouse
	else # Debian's cloud kernels from 7 on
		report 'ok the mouse # SKIP this kernel has no hid_hyperv'
		tell mouse
	fi
}

every_character()
{
	awk 'BEGIN { for (i = 32; i < 127; i++) printf "%c", i; print "" }'
	echo .
}

host()
{
	start --keyboard --mouse
	await keys
	check 'a text is typed' ctl type 'Hi
'
	tell typed
	await all
	all=$(every_character)
	check 'and one with each character' ctl type "${all%.}"
	tell typed
	refused 'a character that no key has is refused' ctl type 'ü'
	await unloaded
	refused 'without a driver it says so' ctl type a
	tell refused
	await again
	check 'with one again it types' ctl type a
	tell typed
	refused 'a mouse without a driver says so' ctl click 1 1
	await mouse
	ctl pointer 100 32767
	ctl click 100 32767
	ctl click 101 32767 --button right
	tell clicked
	finish
}
