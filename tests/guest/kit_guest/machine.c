/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A machine of two processors with interrupts, each with a SynIC of its own: all that docs/guest.md
 * asks for above its chapter about the kit. Entered in 64-bit mode, memory mapped one to one.
 */

#include "machine.h"

enum {
	MSR_GUEST_OS_ID = 0x40000000,
	MSR_HYPERCALL = 0x40000001,
	MSR_REFERENCE = 0x40000020,
	MSR_SCONTROL = 0x40000080,
	MSR_SIEFP = 0x40000082,
	MSR_SIMP = 0x40000083,
	MSR_EOM = 0x40000084,
	MSR_SINT = 0x40000090,
};
#define SINT      2u
#define VECTOR    0x40u
#define AUTO_EOI  (1u << 17)
#define PORT_COM1 0x3f8u

/* The local APIC (Intel SDM volume 3, "Advanced Programmable Interrupt Controller"). */
#define APIC              0xfee00000u
#define APIC_SPURIOUS     0xf0u
#define APIC_ENABLED      0x1ffu
#define APIC_COMMAND      0x300u
#define APIC_COMMAND_HIGH 0x310u
#define APIC_INIT         0x4500u
#define APIC_STARTUP      0x4600u

static uint8_t hypercall_page[VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t message_pages[MACHINE_CPUS][VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t event_pages[MACHINE_CPUS][VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t pool[4u << 20] __attribute__((aligned(VG_PAGE)));
static uint8_t stacks[MACHINE_CPUS][16384] __attribute__((aligned(16), used));
static struct gate {
	uint16_t low, selector, kind, middle;
	uint32_t high, reserved;
} gates[VECTOR + 1];

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void wrmsr(uint32_t msr, uint64_t value)
{
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

	__asm__ volatile("wrmsr" : : "c"(msr), "a"(low), "d"(high) : "memory");
}

static uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static void apic_write(uint32_t where, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(APIC + where) = value;
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

/* ---- what the kit asks for ---- */

static uint64_t page_number(void *context, const void *address)
{
	return (uintptr_t)address / VG_PAGE;
}

/* By the first processor alone, as all is that names the bus. */
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
	return hypercall(0x5c, (uintptr_t)&input) != 0x13;
}

static void signal(void *context, uint32_t connection_id)
{
	hypercall(0x1005d, connection_id);
}

static void log(void *context, const char *subject, const char *what, uint64_t expected,
                uint64_t actual)
{
	machine_print(subject, expected);
	machine_print(what, actual);
}

const struct vg_platform machine_platform = {
	.page_number = page_number,
	.post = post,
	.signal = signal,
	.log = log,
};

/* ---- what the guest asks for ---- */

void *machine_pages(uint32_t count)
{
	static size_t taken;

	if (count > (sizeof(pool) - taken) / VG_PAGE)
		return NULL;
	taken += count * (size_t)VG_PAGE;
	return pool + taken - count * (size_t)VG_PAGE;
}

static void put(const char *text)
{
	while (*text)
		out8(PORT_COM1, (uint8_t)*text++);
}

/* A line at a time, whosever it is. */
void machine_print(const char *text, uint64_t number)
{
	static bool busy;
	char digits[24], *at = digits + sizeof(digits);

	*--at = 0;
	*--at = '\n';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	while (__atomic_test_and_set(&busy, __ATOMIC_ACQUIRE))
		__asm__ volatile("pause");
	put(text);
	put(at);
	__atomic_clear(&busy, __ATOMIC_RELEASE);
}

void machine_end(void)
{
	out8(0x600, 0x34);
}

uint64_t machine_reference(void)
{
	return rdmsr(MSR_REFERENCE);
}

void machine_messages(struct vg *vg)
{
	while (vg_message_slot(vg, message_pages[0] + SINT * 256))
		wrmsr(MSR_EOM, 0);
}

void machine_events(uint32_t cpu)
{
	vg_event_flags(event_pages[cpu] + SINT * 256);
}

/* An interrupt that came since the caller looked ends the wait: STI works one instruction later. */
void machine_wait(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

void machine_wake(uint32_t cpu)
{
	apic_write(APIC_COMMAND_HIGH, cpu << 24);
	apic_write(APIC_COMMAND, VECTOR);
}

/* ---- where processors begin ---- */

/*
 * What the second one runs first, in real mode at 0x8000, where nothing else is by then: into
 * 64-bit mode with the first one's page tables, and a table of segments in which these have the
 * numbers that they have at the first. All interrupts end at machine_interrupt.
 */
#define TRAMPOLINE 0x8000u
extern const uint8_t machine_trampoline[], machine_trampoline_end[], machine_interrupt[];
__asm__(".pushsection .text.start, \"ax\"\n"
        ".global _start, memset, memcpy, memcmp\n"
        "_start:	lea stacks + 16384(%rip), %rsp\n"
        "	call machine_first # which does not return\n"
        "machine_interrupt: iretq\n"
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
        ".code16\n"
        "machine_trampoline: cli\n"
        "	xor %ax, %ax\n"
        "	mov %ax, %ds\n"
        "	lgdtl 0x8000 + segments_where - machine_trampoline\n"
        "	mov $0x20, %eax\n" /* CR4: PAE */
        "	mov %eax, %cr4\n"
        "	mov 0x8000 + page_tables - machine_trampoline, %eax\n"
        "	mov %eax, %cr3\n"
        "	mov $0xc0000080, %ecx\n" /* EFER: long mode */
        "	rdmsr\n"
        "	or $0x100, %eax\n"
        "	wrmsr\n"
        "	mov $0x80000001, %eax\n" /* CR0: paging, protected mode */
        "	mov %eax, %cr0\n"
        "	ljmpl $0x10, $second\n"
        ".balign 8\n"
        "segments: .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff\n"
        "segments_where: .word 31\n"
        "	.long 0x8000 + segments - machine_trampoline\n"
        "page_tables: .long 0\n"
        "machine_trampoline_end:\n"
        ".code64\n"
        "second:	mov $0x18, %eax\n"
        "	mov %eax, %ds\n"
        "	mov %eax, %es\n"
        "	mov %eax, %ss\n"
        "	lea stacks + 2 * 16384(%rip), %rsp\n"
        "	call machine_second # which does not return\n"
        ".popsection\n");

static void interrupts_on(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) where = { sizeof(gates) - 1, (uintptr_t)gates };

	__asm__ volatile("lidt %0" : : "m"(where));
	apic_write(APIC_SPURIOUS, APIC_ENABLED);
}

static void synic_on(uint32_t cpu)
{
	wrmsr(MSR_SIMP, (uintptr_t)message_pages[cpu] | 1);
	wrmsr(MSR_SIEFP, (uintptr_t)event_pages[cpu] | 1);
	wrmsr(MSR_SINT + SINT, VECTOR | AUTO_EOI);
	wrmsr(MSR_SCONTROL, 1);
}

static void gate_set(void)
{
	uintptr_t to = (uintptr_t)machine_interrupt;

	gates[VECTOR] = (struct gate){ .low = (uint16_t)to,
		                       .selector = 0x10,
		                       .kind = 0x8e00,
		                       .middle = (uint16_t)(to >> 16),
		                       .high = (uint32_t)(to >> 32) };
}

static void second_start(void)
{
	uint8_t *to = (uint8_t *)(uintptr_t)TRAMPOLINE;
	uint32_t size = (uint32_t)(machine_trampoline_end - machine_trampoline);
	uint64_t tables;

	__asm__ volatile("mov %%cr3, %0" : "=r"(tables));
	__builtin_memcpy(to, machine_trampoline, size);
	__builtin_memcpy(to + size - 4, &tables, 4);
	apic_write(APIC_COMMAND_HIGH, 1u << 24);
	apic_write(APIC_COMMAND, APIC_INIT);
	apic_write(APIC_COMMAND_HIGH, 1u << 24);
	apic_write(APIC_COMMAND, APIC_STARTUP | TRAMPOLINE / VG_PAGE);
}

__attribute__((used)) static void machine_first(void)
{
	gate_set();
	interrupts_on();
	wrmsr(MSR_GUEST_OS_ID, 0x8100ull << 48 | 1);
	wrmsr(MSR_HYPERCALL, (uintptr_t)hypercall_page | 1);
	synic_on(0);
	second_start();
	guest_first();
}

__attribute__((used)) static void machine_second(void)
{
	interrupts_on();
	synic_on(1);
	guest_second();
}
