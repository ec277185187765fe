/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A guest that means ill: a kernel of its own, booted by kmcl boot, that speaks just enough VMBus
 * to do everything wrong with it. Rounds of malformed hypercalls, random and half-right channel
 * messages, and channels whose rings it scribbles over while the host works on them; then it powers
 * off, which it can only do if the host is still there. Everything depends on the seed, which is
 * "seed=N" on the command line.
 *
 * Freestanding, entered in 64-bit mode with the first 4 GiB mapped one to one; interrupts are never
 * let in, messages are polled for.
 */

#include "wire/message.h"
#include "wire/packet.h"

#include <stdbool.h>

/* ---- the machine ---- */

#define PORT_SERIAL 0x3f8u
#define PORT_SLEEP  0x600u
#define SLEEP_S5    0x34u
#define PAGE        4096u

#define MSR_GUEST_OS_ID 0x40000000u
#define MSR_HYPERCALL   0x40000001u
#define MSR_SCONTROL    0x40000080u
#define MSR_SIEFP       0x40000082u
#define MSR_SIMP        0x40000083u
#define MSR_EOM         0x40000084u
#define MSR_SINT0       0x40000090u
#define SINT_MASKED     0x10000ull
#define ENABLE          1ull
#define CALL_POST       0x5cull
#define CALL_SIGNAL     0x5dull
#define CALL_FAST       (1ull << 16)
#define MEMORY_END      (64u << 20) /* what the test gives this guest */

static uint8_t hypercall_page[PAGE] __attribute__((aligned(PAGE)));
static uint8_t message_page[PAGE] __attribute__((aligned(PAGE)));
static uint8_t event_page[PAGE] __attribute__((aligned(PAGE)));
static uint8_t monitor_pages[2 * PAGE] __attribute__((aligned(PAGE)));
static uint8_t post_page[PAGE] __attribute__((aligned(PAGE)));
#define RING_PAGES 16u
static uint8_t rings[RING_PAGES * PAGE] __attribute__((aligned(PAGE)));

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
	                 :
	                 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
	                 : "memory");
}

static uint64_t hypercall(uint64_t control, uint64_t input, uint64_t output)
{
	register uint64_t r8 __asm__("r8") = output;
	uint64_t status;

	__asm__ volatile("call *%[page]"
	                 : "=a"(status), "+c"(control), "+d"(input), "+r"(r8)
	                 : [page] "r"(hypercall_page)
	                 : "r9", "r10", "r11", "memory", "cc");
	return status;
}

/* What a compiler may call by itself. */
void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);

void *memset(void *to, int byte, size_t size)
{
	uint8_t *at = to;

	while (size--)
		*at++ = (uint8_t)byte;
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	uint8_t *at = to;
	const uint8_t *source = from;

	while (size--)
		*at++ = *source++;
	return to;
}

/* ---- words ---- */

static void print(const char *text)
{
	while (*text)
		out8(PORT_SERIAL, (uint8_t)*text++);
}

static void print_number(uint64_t n)
{
	char digits[21];
	unsigned int at = sizeof(digits) - 1;

	digits[at] = 0;
	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	print(digits + at);
}

static void say(const char *what, uint64_t n)
{
	print("hostile: ");
	print(what);
	print(" ");
	print_number(n);
	print("\r\n");
}

static uint64_t state = 1;

static uint64_t random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(random64() >> 16) % n;
}

static void fill_random(void *to, size_t size)
{
	uint8_t *at = to;

	while (size--)
		*at++ = (uint8_t)(random64() >> 24);
}

/* Numbers that tend to matter. */
static uint64_t edge(void)
{
	static const uint64_t edges[] = { 0,          1,          2,          3,
		                          7,          8,          0xfff,      0x1000,
		                          0x7fff,     0xffff,     0x10000,    0x7fffffff,
		                          0x80000000, 0xffffffff, 1ull << 40, UINT64_MAX };

	return below(4) ? edges[below(sizeof(edges) / sizeof(edges[0]))] : random64();
}

/* ---- VMBus, as far as it takes ---- */

#define SINT 2u

struct post {
	uint32_t connection_id, reserved, type, size;
	uint8_t payload[240];
};

static uint64_t post(uint32_t connection_id, const void *payload, uint32_t size)
{
	struct post *at = (struct post *)post_page;

	at->connection_id = connection_id;
	at->reserved = 0;
	at->type = 1;
	at->size = size;
	memcpy(at->payload, payload, size);
	return hypercall(CALL_POST, (uintptr_t)at, 0);
}

/* How often to look for a message: where none need come, and where one must, though the host may
 * have to share its only processor with other guests. */
#define BRIEFLY   20000000u
#define PATIENTLY (50 * BRIEFLY)

/* What the host said, or nothing for a while: a message type, or 0. */
static uint32_t hear(void *payload, uint32_t looks)
{
	volatile uint32_t *type = (volatile uint32_t *)(message_page + SINT * 256);

	for (uint32_t i = 0; i < looks; i++) {
		struct wire_message_header header;

		if (!*type)
			continue;
		memcpy(payload, message_page + SINT * 256 + 16, 240);
		*type = 0;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		wrmsr(MSR_EOM, 0);
		memcpy(&header, payload, sizeof(header));
		return header.type;
	}
	return 0;
}

/* Waits for an answer of that type; what else comes is dropped. */
static bool hear_of(uint32_t type, void *payload, uint32_t looks)
{
	uint32_t heard;

	do {
		heard = hear(payload, looks);
	} while (heard && heard != type);
	return heard == type;
}

static void set_up(void)
{
	wrmsr(MSR_GUEST_OS_ID, 0x8100ull << 48 | 0xdead);
	wrmsr(MSR_HYPERCALL, (uintptr_t)hypercall_page | ENABLE);
	wrmsr(MSR_SIMP, (uintptr_t)message_page | ENABLE);
	wrmsr(MSR_SIEFP, (uintptr_t)event_page | ENABLE);
	wrmsr(MSR_SINT0 + SINT, 0x40 | SINT_MASKED);
	wrmsr(MSR_SCONTROL, ENABLE);
}

#define CHANNELS_MAX 16u
static struct wire_offer_channel offers[CHANNELS_MAX];
static uint32_t offer_count;

/* The host looks at the second page and writes latencies there; where is the guest's choice. */
static uint8_t *monitor;

static void place_monitor(void)
{
	uint8_t *const places[] = { monitor_pages, monitor_pages + PAGE, rings,    rings + PAGE,
		                    message_page,  event_page,           post_page };

	monitor = below(2) ? monitor_pages + PAGE : places[below(sizeof(places) / sizeof(*places))];
}

static bool connect_bus(void)
{
	struct wire_initiate_contact contact = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = 5u << 16 | 3,
		.monitor_page_to_guest = (uintptr_t)monitor_pages,
		.monitor_page_to_host = (uintptr_t)monitor,
	};
	struct wire_message_header request = { .type = WIRE_REQUEST_OFFERS };
	union {
		struct wire_version_response version;
		struct wire_offer_channel offer;
		uint8_t bytes[240];
	} message;
	uint32_t type;

	contact.interrupt_page = 0;
	contact.target_sint = SINT;
	post(4, &contact, WIRE_INITIATE_CONTACT_SIZE_SHORT);
	if (!hear_of(WIRE_VERSION_RESPONSE, message.bytes, PATIENTLY) ||
	    !message.version.version_supported)
		return false;
	post(1, &request, sizeof(request));
	offer_count = 0;
	while ((type = hear(message.bytes, PATIENTLY)) && type != WIRE_ALL_OFFERS_DELIVERED)
		if (type == WIRE_OFFER_CHANNEL && offer_count < CHANNELS_MAX)
			offers[offer_count++] = message.offer;
	return type == WIRE_ALL_OFFERS_DELIVERED;
}

static void disconnect_bus(void)
{
	struct wire_message_header unload = { .type = WIRE_UNLOAD };
	uint8_t message[240];

	post(1, &unload, sizeof(unload));
	hear_of(WIRE_UNLOAD_COMPLETE, message, BRIEFLY);
}

static bool create_gpadl(uint32_t channel, uint32_t id)
{
	struct {
		struct wire_gpadl_header header;
		struct wire_gpa_range range;
		uint64_t pages[RING_PAGES];
	} __attribute__((packed)) message;
	union {
		struct wire_gpadl_created created;
		uint8_t bytes[240];
	} answer;

	message.header = (struct wire_gpadl_header){
		.header.type = WIRE_GPADL_HEADER,
		.channel_id = channel,
		.gpadl = id,
		.range_bytes = 8 + 8 * RING_PAGES,
		.range_count = 1,
	};
	message.range = (struct wire_gpa_range){ .byte_count = sizeof(rings) };
	for (uint32_t i = 0; i < RING_PAGES; i++)
		message.pages[i] = (uintptr_t)rings / PAGE + i;
	post(1, &message, sizeof(message));
	return hear_of(WIRE_GPADL_CREATED, answer.bytes, BRIEFLY) && answer.created.status == 0;
}

static bool open_channel(uint32_t channel, uint32_t gpadl)
{
	struct wire_open_channel open = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = channel,
		.open_id = channel,
		.ring_gpadl = gpadl,
		.ring_offset = RING_PAGES / 2,
	};
	union {
		struct wire_open_channel_result result;
		uint8_t bytes[240];
	} answer;

	fill_random(open.user_data, sizeof(open.user_data));
	post(1, &open, WIRE_OPEN_CHANNEL_SIZE_SHORT);
	return hear_of(WIRE_OPEN_CHANNEL_RESULT, answer.bytes, BRIEFLY) &&
	       answer.result.status == 0;
}

static void close_channel(uint32_t channel, uint32_t gpadl)
{
	struct wire_channel_message close = {
		.header.type = WIRE_CLOSE_CHANNEL,
		.channel_id = channel,
	};
	struct wire_gpadl_teardown teardown = {
		.header.type = WIRE_GPADL_TEARDOWN,
		.channel_id = channel,
		.gpadl = gpadl,
	};
	uint8_t message[240];

	post(1, &close, sizeof(close));
	post(1, &teardown, sizeof(teardown));
	hear_of(WIRE_GPADL_TORNDOWN, message, BRIEFLY);
}

/* ---- what it is here for ---- */

/* Hypercalls with everything wrong that can be. */
static void bad_hypercalls(void)
{
	struct post *at = (struct post *)post_page;

	for (uint32_t i = 0; i < 300; i++) {
		at->connection_id = (uint32_t)edge();
		at->type = (uint32_t)edge();
		at->size = below(2) ? (uint32_t)edge() : below(241);
		fill_random(at->payload, sizeof(at->payload));
		switch (below(6)) {
		case 0: /* anywhere */
			hypercall(CALL_POST, edge(), edge());
			break;
		case 1: /* across the end of memory, or of a page */
			hypercall(CALL_POST, (below(2) ? MEMORY_END : PAGE * 3) - 8 * below(32), 0);
			break;
		case 2:
			hypercall(CALL_POST | CALL_FAST, edge(), edge());
			break;
		case 3:
			hypercall(CALL_SIGNAL | CALL_FAST, edge(), 0);
			break;
		case 4:
			hypercall(CALL_SIGNAL, edge(), 0);
			break;
		default:
			hypercall(CALL_POST, (uintptr_t)at, 0);
		}
	}
}

/* Messages: random bytes under a type that there is, or a field made odd in one that is right. */
static void bad_messages(void)
{
	uint8_t message[240];
	struct wire_message_header header = { 0 };

	for (uint32_t i = 0; i < 500; i++) {
		uint32_t size = below(3) ? below(241) : 8 * below(31);

		memset(message, 0, sizeof(message));
		for (uint32_t at = 8; at + 4 <= sizeof(message); at += 4) {
			uint32_t word = below(3) ? below(20) : (uint32_t)edge();

			memcpy(message + at, &word, sizeof(word));
		}
		header.type = below(8) ? below(WIRE_MESSAGE_TYPES + 2) : (uint32_t)edge();
		/* It comes back to say goodbye by itself. */
		if (header.type == WIRE_UNLOAD)
			continue;
		memcpy(message, &header, sizeof(header));
		post(below(4) ? 1 : 4, message, size);
	}
}

/* What waits in the slot would keep the host from saying more. */
static void listen_away(void)
{
	uint8_t message[240];

	while (hear(message, BRIEFLY))
		;
}

static void scribble(uint32_t *words, uint32_t n)
{
	volatile uint32_t *at = words;

	at[below(n)] = below(2) ? (uint32_t)edge() : 8 * below(RING_PAGES / 2 * PAGE / 8);
}

/* A ring's first bytes, as a packet that is nearly right. */
static void nearly_packet(uint8_t *data)
{
	static const uint16_t types[] = { 6, 7, 8, 9, 11, 0, 5, 0xffff };
	struct {
		uint16_t type, offset8, length8, flags;
		uint64_t id;
		uint32_t words[56];
	} packet = {
		.type = types[below(8)],
		.offset8 = below(3) ? 2 : (uint16_t)edge(),
		.length8 = below(3) ? (uint16_t)(2 + below(30)) : (uint16_t)edge(),
		.flags = (uint16_t)below(4),
		.id = edge(),
	};

	for (uint32_t i = 0; i < 56; i++)
		packet.words[i] = below(2) ? below(16) : (uint32_t)edge();
	memcpy(data, &packet, sizeof(packet));
}

#define MONITOR_TRIGGERS 8u /* struct hv_monitor_page: pending and armed, for each of 4 groups */

/* The channel's bit, those of channels that there are not, or anything anywhere in the page. */
static void signal_by_page(const struct wire_offer_channel *offer)
{
	volatile uint32_t *words = (volatile uint32_t *)(monitor + MONITOR_TRIGGERS);

	words[offer->monitor_id / 32 % 4 * 2] |= 1u << offer->monitor_id % 32;
	if (!below(4))
		words[below(8)] = (uint32_t)edge();
	if (!below(16) && monitor == monitor_pages + PAGE)
		fill_random(monitor, PAGE);
}

static void signal(const struct wire_offer_channel *offer)
{
	if (offer->monitor_allocated & 1)
		signal_by_page(offer);
	hypercall(CALL_SIGNAL | CALL_FAST, offer->connection_id, 0);
}

/* Opens a channel and writes over its rings while the host looks at them. */
static void bad_rings(const struct wire_offer_channel *offer, uint32_t gpadl)
{
	uint32_t *control[2] = { (uint32_t *)rings, (uint32_t *)(rings + RING_PAGES / 2 * PAGE) };

	memset(rings, 0, sizeof(rings));
	if (!create_gpadl(offer->channel_id, gpadl))
		return;
	if (open_channel(offer->channel_id, gpadl)) {
		for (uint32_t i = 0; i < 60; i++) {
			if (below(3)) {
				nearly_packet(rings + PAGE);
				control[0][1] = 0;
				control[0][0] = below(2) ? 256 : 8 * below(64);
			} else {
				fill_random(rings + PAGE, 256);
				scribble(control[0], 16);
			}
			if (!below(10))
				scribble(control[1], 16);
			signal(offer);
			for (volatile uint32_t wait = below(20000); wait; wait--)
				;
		}
	}
	close_channel(offer->channel_id, gpadl);
}

/* Monitor pages that are no pages, or nowhere; then in good places, again and again. */
static void bad_monitor_pages(void)
{
	struct wire_initiate_contact contact = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = 5u << 16 | 3,
	};
	uint8_t message[240];

	contact.target_sint = SINT;
	for (uint32_t i = 0; i < 4; i++) {
		place_monitor();
		contact.monitor_page_to_guest = below(2) ? edge() : (uintptr_t)monitor;
		contact.monitor_page_to_host = below(3)   ? (uintptr_t)monitor
		                               : below(2) ? edge()
		                                          : MEMORY_END - 8 * below(600);
		post(4, &contact, WIRE_INITIATE_CONTACT_SIZE_SHORT);
		hear_of(WIRE_VERSION_RESPONSE, message, BRIEFLY);
		if (below(2))
			disconnect_bus();
	}
	disconnect_bus();
	listen_away();
}

/* The pages that the host writes messages and flags to are nowhere, or gone. */
static void bad_pages(void)
{
	for (uint32_t i = 0; i < 20; i++) {
		wrmsr(MSR_SIMP, (edge() & 0xffffff000ull) | below(2));
		wrmsr(MSR_SIEFP, (edge() & 0xffffff000ull) | below(2));
		wrmsr(MSR_SCONTROL, below(2));
	}
	wrmsr(MSR_SIMP, (uintptr_t)message_page | ENABLE);
	wrmsr(MSR_SIEFP, (uintptr_t)event_page | ENABLE);
	wrmsr(MSR_SCONTROL, ENABLE);
}

static uint64_t read_option(const char *command, const char *name)
{
	for (; *command; command++) {
		const char *a = command, *b = name;
		uint64_t n = 0;

		while (*b && *a == *b) {
			a++;
			b++;
		}
		if (*b)
			continue;
		while (*a >= '0' && *a <= '9')
			n = n * 10 + (uint64_t)(*a++ - '0');
		return n;
	}
	return 0;
}

#define BOOT_PARAMS_COMMAND 0x228u /* cmd_line_ptr (Linux Documentation/x86/boot.rst) */

void hostile_main(const uint8_t *boot_params);
void hostile_main(const uint8_t *boot_params)
{
	uint32_t command, gpadl = 0x1000;
	uint64_t rounds;

	memcpy(&command, boot_params + BOOT_PARAMS_COMMAND, sizeof(command));
	state = read_option((const char *)(uintptr_t)command, "seed=") * 2 + 1;
	rounds = read_option((const char *)(uintptr_t)command, "rounds=");
	say("seed", state / 2);
	set_up();
	bad_hypercalls();
	for (uint64_t round = 0; round < rounds; round++) {
		bool connected;

		place_monitor();
		connected = connect_bus();

		say(connected ? "connected; offers" : "NOT CONNECTED in round",
		    connected ? offer_count : round);
		for (uint32_t i = 0; i < offer_count && connected; i++)
			bad_rings(&offers[i], gpadl++);
		bad_messages();
		listen_away();
		bad_hypercalls();
		bad_pages();
		disconnect_bus();
		listen_away();
		bad_monitor_pages();
	}
	say("rounds done", rounds);
	out8(PORT_SLEEP, SLEEP_S5);
}

/* With a stack of its own. */
__asm__(".section .text.start, \"ax\"\n"
        ".global _start\n"
        "_start:\n"
        "	lea stack_end(%rip), %rsp\n"
        "	mov %rsi, %rdi\n"
        "	call hostile_main\n"
        "1:	hlt\n"
        "	jmp 1b\n"
        ".section .bss\n"
        ".balign 16\n"
        "	.skip 32768\n"
        "stack_end:\n");
