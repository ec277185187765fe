/* SPDX-License-Identifier: BSD-2-Clause */

/* What a monitor has not done: asked for, or seen by what its guest cannot do. */

#include "partition/kvm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define LEAVES_MAX       256u /* KVM_MAX_CPUID_ENTRIES */
#define HYPERVISOR_FIRST 0x40000000u
#define MICROSOFT        0x7263694du /* "Micr" in ebx */

void kvm_lacks(struct kmcl_kvm *kvm, enum kvm_lack what, const char *format, ...)
{
	struct kvm_bus *bus = kvm->bus;
	char text[200];
	va_list ap;

	if (kvm->said & 1u << what)
		return;
	kvm->said |= 1u << what;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (bus->host)
		kvm_host_log(bus->host, PARTITION_LOG_OPERATOR, "%s", text);
	else
		fprintf(stderr, "kmcl: kvm:%s: %s\n", bus->name, text);
}

void kvm_lacks_session(struct kmcl_kvm *kvm)
{
	if (!kvm->running)
		kvm_lacks(kvm, KVM_LACKS_START,
		          "the guest runs, but kmcl_kvm_start() was not called: it finds no bus");
	else if (!kvm->bus->host)
		kvm_lacks(kvm, KVM_LACKS_HOST,
		          "the guest looks for a host, but none has opened kvm:%s", kvm->bus->name);
}

/* ---- kmcl_kvm_check() ---- */

struct sentence {
	char *at;
	size_t size;
	bool any;
};

__attribute__((format(printf, 2, 3))) static void add(struct sentence *s, const char *format, ...)
{
	va_list ap;
	int n;

	n = s->any ? snprintf(s->at, s->size, "; ") : 0;
	for (int part = 0; part < 2; part++) {
		size_t length = (size_t)n < s->size ? (size_t)n : s->size ? s->size - 1 : 0;

		s->at += length;
		s->size -= length;
		if (part)
			break;
		va_start(ap, format);
		n = vsnprintf(s->at, s->size, format, ap);
		va_end(ap);
	}
	s->any = true;
}

static bool names_hyperv(int vcpu)
{
	struct kvm_cpuid2 *leaves =
		calloc(1, sizeof(*leaves) + LEAVES_MAX * sizeof(leaves->entries[0]));
	bool found = false;

	if (!leaves)
		return true; /* nobody knows */
	leaves->nent = LEAVES_MAX;
	if (ioctl(vcpu, KVM_GET_CPUID2, leaves))
		leaves->nent = 0;
	for (uint32_t i = 0; i < leaves->nent && i < LEAVES_MAX; i++)
		if (leaves->entries[i].function == HYPERVISOR_FIRST)
			found = leaves->entries[i].ebx == MICROSOFT;
	free(leaves);
	return found;
}

/* KVM keeps whoever asks for the leaves of a processor that runs waiting. */
static void check_processors(const struct kmcl_kvm *kvm, struct sentence *s)
{
	uint32_t count = 0;

	for (uint32_t vp = 0; vp < KMCL_KVM_PROCESSORS_MAX; vp++) {
		if (kvm->processors[vp].fd < 0)
			continue;
		count++;
		if (!kvm->running && !names_hyperv(kvm->processors[vp].fd))
			add(s,
			    "kmcl_kvm_cpuid(): the leaves that KVM_SET_CPUID2 has given processor "
			    "%u do not name Hyper-V",
			    vp);
	}
	if (!count)
		add(s, "kmcl_kvm_add_processor(): the guest has no processor");
}

int kmcl_kvm_check(struct kmcl_kvm *kvm, char *why, size_t why_size)
{
	struct sentence s = { .at = why, .size = why_size };
	struct kvm_bus *bus = kvm->bus;

	if (why_size)
		*why = 0;
	pthread_mutex_lock(&bus->lock);
	if (!kvm->range_count)
		add(&s, "kmcl_kvm_add_memory(): the guest has no memory");
	check_processors(kvm, &s);
	if (!bus->host)
		add(&s, "kmcl_host_open(): no host has opened kvm:%s", bus->name);
	if (!kvm->running)
		add(&s, "kmcl_kvm_start(): it was not called");
	pthread_mutex_unlock(&bus->lock);
	return s.any ? -EAGAIN : 0;
}
