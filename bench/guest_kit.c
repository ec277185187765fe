/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Measures a disk as fio does for bench/guest.sh in a stock guest: 4 KiB reads, 32 at a time, at
 * random and in a row, for 4 s after 1 s that does not count. A guest of the kit alone, on the
 * machine of examples/baremetal.
 */

#include "machine.h"

#define DEPTH         32u
#define SIZE          4096u
#define MSR_REFERENCE 0x40000020u
#define SECOND        10000000u /* of the reference counter */
#define RAMP          (1 * SECOND)
#define RUNTIME       (4 * SECOND)
#define LOOK          32u /* requests between two looks at the counter, which leaves the guest */

static const char *const names[] = { ":: says figure disk-4k-randread-depth32 ",
	                             ":: says figure disk-4k-read-depth32 " };

static struct vg *vg;
static struct vg_disk *disk;
static uint64_t blocks, at, begin, counted;
static uint32_t figure, under_way;
static bool over; /* what is under way ends, and then the next figure begins */

static uint64_t reference(void)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_REFERENCE));
	return (uint64_t)high << 32 | low;
}

static void print_figure(uint64_t number)
{
	char digits[24], *text = digits + sizeof(digits);

	*--text = 0;
	do
		*--text = (char)('0' + number % 10);
	while (number /= 10);
	machine_print(names[figure]);
	machine_print(text);
	machine_print(" IOPS\n");
}

static uint64_t next_block(void)
{
	static uint64_t state = 88172645463325252;

	if (figure == 1)
		return at++ % blocks;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % blocks;
}

static void read_next(void *buffer)
{
	if (vg_disk_read(disk, 0, next_block() * SIZE, buffer, SIZE, buffer) == VG_OK)
		under_way++;
	else
		machine_print("bench: no read\n");
}

static void start(void)
{
	static uint8_t buffers[DEPTH][SIZE] __attribute__((aligned(SIZE)));

	over = false;
	counted = 0;
	begin = reference();
	for (uint32_t i = 0; i < DEPTH; i++)
		read_next(buffers[i]);
}

/* All that ended since the first look after the ramp, by the time until the last one. */
static void look(void)
{
	static uint64_t ramped, before;
	uint64_t now = reference();

	if (now - begin < RAMP) {
		ramped = now;
		before = counted;
	} else if (now - ramped >= RUNTIME) {
		print_figure((counted - before) * SECOND / (now - ramped));
		over = true;
	}
}

static void next_figure(void)
{
	if (++figure < sizeof(names) / sizeof(names[0])) {
		start();
		return;
	}
	machine_print(":: end\n");
	vg_unload(vg);
}

static void done(void *context, struct vg_disk *d, void *cookie, enum vg_status status)
{
	under_way--;
	if (status != VG_OK)
		machine_print("bench: a read failed\n");
	if (!over && ++counted % LOOK == 0)
		look();
	if (!over)
		read_next(cookie);
	else if (under_way == 0)
		next_figure();
}

static void found(void *context, struct vg_disk *d, uint32_t number,
                  const struct vg_disk_unit *unit)
{
	if (number != 0 || blocks)
		return;
	blocks = unit->size / SIZE;
	start();
}

static void offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct vg_disk_open open = { .events = { .found = found, .done = done },
		                     .requests_max = DEPTH,
		                     .transfer_max = SIZE };

	if (vg_device(offer) != VG_DEVICE_DISK || disk)
		return;
	open.memory = machine_pages(vg_disk_pages(DEPTH, SIZE));
	vg_disk_open(&disk, channel, &open);
}

void system_main(void)
{
	static uint8_t memory[65536] __attribute__((aligned(16)));
	struct vg_events events = { .offered = offered, .unloaded = machine_end };
	struct vg_contact contact = { .message_sint = 2 };

	vg_init(&vg, &machine_platform, &events, memory, sizeof(memory));
	vg_connect(vg, &contact);
	for (;;) {
		machine_feed(vg);
		vg_poll(vg, 16);
	}
}
