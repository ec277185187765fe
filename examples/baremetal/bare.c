/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A machine without anything: entered in 64-bit mode with memory mapped one to one, interrupts off
 * (`kmcl boot` does so, as Linux's boot protocol has it). See docs/guest.md.
 */

#include "machine.h"

#define MSR_GUEST_OS_ID 0x40000000u
#define MSR_HYPERCALL   0x40000001u
#define MSR_SCONTROL    0x40000080u
#define MSR_SIEFP       0x40000082u
#define MSR_SIMP        0x40000083u
#define MSR_EOM         0x40000084u
#define MSR_SINT0       0x40000090u
#define SINT            2u
#define SINT_AUTO_EOI   (1u << 17)
#define VECTOR          0x40u /* which never comes: interrupts are off */
#define ENABLE          1u
#define POST_MESSAGE    0x5cu
#define SIGNAL_EVENT    (0x5du | 1u << 16) /* fast */
#define NO_BUFFERS      0x13u

static uint8_t hypercall_page[VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t message_page[VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t event_page[VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t pool[4u << 20] __attribute__((aligned(VG_PAGE)));

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

static uint64_t hypercall(uint64_t call, uint64_t input)
{
	register uint64_t r8 __asm__("r8") = 0;
	uint64_t status;

	__asm__ volatile("call *%[page]"
	                 : "=a"(status), "+c"(call), "+d"(input), "+r"(r8)
	                 : [page] "r"(hypercall_page)
	                 : "r9", "r10", "r11", "memory", "cc");
	return status;
}

static uint64_t page_number(void *context, const void *address)
{
	return (uintptr_t)address / VG_PAGE;
}

static bool post(void *context, uint32_t connection_id, const void *message, uint32_t size)
{
	static struct {
		uint32_t connection_id, reserved, type, size;
		uint8_t payload[240];
	} input __attribute__((aligned(256)));

	input.connection_id = connection_id;
	input.type = 1;
	input.size = size;
	__builtin_memcpy(input.payload, message, size);
	return (hypercall(POST_MESSAGE, (uintptr_t)&input) & 0xffff) != NO_BUFFERS;
}

static void signal(void *context, uint32_t connection_id)
{
	hypercall(SIGNAL_EVENT, connection_id);
}

const struct vg_platform machine_platform = {
	.page_number = page_number,
	.post = post,
	.signal = signal,
};

void *machine_pages(uint32_t count)
{
	static size_t taken;

	if (count > (sizeof(pool) - taken) / VG_PAGE)
		return NULL;
	taken += count * (size_t)VG_PAGE;
	return pool + taken - count * (size_t)VG_PAGE;
}

/* The slot has one message: if another waits, it comes when the end of this one is said. */
void machine_feed(struct vg *vg)
{
	while (vg_message_slot(vg, message_page + SINT * 256))
		wrmsr(MSR_EOM, 0);
	vg_event_flags(event_page + SINT * 256);
	__asm__ volatile("pause");
}

void machine_print(const char *text)
{
	while (*text)
		out8(0x3f8, (uint8_t)*text++);
}

/* As ACPI's tables of `kmcl boot` have it. */
void machine_end(void)
{
	out8(0x600, 0x34);
}

void bare_main(void);
void bare_main(void)
{
	wrmsr(MSR_GUEST_OS_ID, 0x8100ull << 48 | 1);
	wrmsr(MSR_HYPERCALL, (uintptr_t)hypercall_page | ENABLE);
	wrmsr(MSR_SIMP, (uintptr_t)message_page | ENABLE);
	wrmsr(MSR_SIEFP, (uintptr_t)event_page | ENABLE);
	wrmsr(MSR_SINT0 + SINT, VECTOR | SINT_AUTO_EOI);
	wrmsr(MSR_SCONTROL, ENABLE);
	system_main();
}

/* ---- where it begins, and what a compiler may call ---- */

__asm__(".section .text.start, \"ax\"\n"
        ".global _start\n"
        "_start:\n"
        "	lea stack_end(%rip), %rsp\n"
        "	call bare_main\n"
        "1:	hlt\n"
        "	jmp 1b\n"
        ".section .bss\n"
        ".balign 16\n"
        "	.skip 16384\n"
        "stack_end:\n");

void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);

void *memset(void *to, int byte, size_t size)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i])
			return ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];
	return 0;
}
