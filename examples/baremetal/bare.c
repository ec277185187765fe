/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A machine without anything: entered in 64-bit mode with memory mapped one to one, interrupts off
 * (`kmcl boot` does so, as Linux's boot protocol has it). See docs/guest.md.
 */

#include "machine.h"

enum msr {
	GUEST_OS_ID = 0x40000000,
	HYPERCALL,
	SCONTROL = 0x40000080,
	SIEFP = 0x40000082,
	SIMP,
	EOM,
	SINT2 = 0x40000092
};
#define SINT         2u
#define SINT_ON      0x20040u /* a vector, which never comes, and no end of interrupt is owed */
#define POST_MESSAGE 0x5cu
#define SIGNAL_EVENT 0x1005du /* fast: its input is in a register */
#define NO_BUFFERS   0x13u

static uint8_t hypercall_page[VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t message_page[VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t event_page[VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t stack[16384] __attribute__((aligned(16), used));
static uint8_t pool[4u << 20] __attribute__((aligned(VG_PAGE)));

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void wrmsr(enum msr msr, uint64_t value)
{
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

	__asm__ volatile("wrmsr" : : "c"(msr), "a"(low), "d"(high) : "memory");
}

static uint16_t hypercall(uint64_t call, uint64_t input)
{
	uint64_t status;

	__asm__ volatile("call *%[page]"
	                 : "=a"(status), "+c"(call), "+d"(input)
	                 : [page] "r"(hypercall_page)
	                 : "r8", "r9", "r10", "r11", "memory", "cc");
	return (uint16_t)status;
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
	return hypercall(POST_MESSAGE, (uintptr_t)&input) != NO_BUFFERS;
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
		wrmsr(EOM, 0);
	vg_event_flags(event_page + SINT * 256);
	__asm__ volatile("pause");
}

void machine_print(const char *text)
{
	while (*text)
		out8(0x3f8, (uint8_t)*text++);
}

/* As ACPI's tables of `kmcl boot` have it. */
void machine_end(void *context)
{
	out8(0x600, 0x34);
}

__attribute__((used)) static void bare_main(void)
{
	wrmsr(GUEST_OS_ID, 0x8100ull << 48 | 1);
	wrmsr(HYPERCALL, (uintptr_t)hypercall_page | 1);
	wrmsr(SIMP, (uintptr_t)message_page | 1);
	wrmsr(SIEFP, (uintptr_t)event_page | 1);
	wrmsr(SINT2, SINT_ON);
	wrmsr(SCONTROL, 1);
	system_main();
}

/* Where it begins, and what a compiler may call by itself. */
__asm__(".pushsection .text.start, \"ax\"\n"
        ".global _start, memset, memcpy, memcmp\n"
        "_start:	lea stack + 16384(%rip), %rsp\n"
        "	call bare_main # which does not return\n"
        "memset:	mov %rdi, %r8\n"
        "	mov %esi, %eax\n"
        "	mov %rdx, %rcx\n"
        "	rep stosb\n"
        "	mov %r8, %rax\n"
        "	ret\n"
        "memcpy:	mov %rdi, %rax\n"
        "	mov %rdx, %rcx\n"
        "	rep movsb\n"
        "	ret\n"
        "memcmp:	mov %rdx, %rcx\n"
        "	cmp %rcx, %rcx # equal if there is nothing\n"
        "	repe cmpsb\n"
        "	seta %dl\n"
        "	setb %al\n"
        "	sub %dl, %al\n"
        "	movsx %al, %eax\n"
        "	ret\n"
        ".popsection\n");
