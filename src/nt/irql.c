/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <sys/syscall.h>
#include <unistd.h>

__thread struct nt_self nt_self __attribute__((tls_model("initial-exec")));

uint32_t nt_self_id_slow(void)
{
	nt_self.id = (uint32_t)syscall(SYS_gettid);
	return nt_self.id;
}

KIRQL KeGetCurrentIrql(void)
{
	return nt_self.irql;
}

bool nt_irql_at_most(KIRQL max, const char *function, const char *object)
{
	static const char *const rules[] = {
		[PASSIVE_LEVEL] = "needs PASSIVE_LEVEL",
		[APC_LEVEL] = "needs APC_LEVEL or lower",
		[DISPATCH_LEVEL] = "needs DISPATCH_LEVEL or lower",
	};

	if (likely(nt_self.irql <= max))
		return true;
	nt_misuse(function, object, max <= DISPATCH_LEVEL ? rules[max] : "needs a lower IRQL");
	return false;
}

/* Takes all that is queued now and what that queues, until nothing is left. */
static void run_deferred(void)
{
	while (nt_self.deferred_first) {
		struct nt_deferred *d = nt_self.deferred_first;

		nt_self.deferred_first = d->next;
		d->queued = false;
		d->routine(d);
	}
}

static bool work_is_pending(void)
{
	return nt_self.deferred_first != NULL ||
	       __atomic_load_n(&nt_self.dpc_count, __ATOMIC_RELAXED) != 0;
}

static void drain(void)
{
	if (nt_self.draining)
		return;
	nt_self.draining = true;
	while (work_is_pending()) {
		run_deferred();
		nt_dpc_run();
	}
	nt_self.draining = false;
}

void nt_run_deferred(void)
{
	KIRQL old = KeRaiseIrqlToDpcLevel();

	drain();
	nt_self.irql = old;
}

void nt_defer(struct nt_deferred *d)
{
	if (nt_self.irql < DISPATCH_LEVEL) {
		KIRQL old = KeRaiseIrqlToDpcLevel();

		nt_defer(d);
		KeLowerIrql(old);
		return;
	}
	if (d->queued)
		return;
	d->queued = true;
	d->next = NULL;
	if (nt_self.deferred_first)
		*nt_self.deferred_last = d;
	else
		nt_self.deferred_first = d;
	nt_self.deferred_last = &d->next;
}

void KeRaiseIrql(KIRQL new_irql, PKIRQL old_irql)
{
	*old_irql = nt_self.irql;
	if (unlikely(new_irql < nt_self.irql))
		nt_misuse(__func__, NULL, "the new IRQL must not be below the current one");
	else
		nt_self.irql = new_irql;
}

KIRQL KeRaiseIrqlToDpcLevel(void)
{
	KIRQL old = nt_self.irql;

	if (old < DISPATCH_LEVEL)
		nt_self.irql = DISPATCH_LEVEL;
	return old;
}

void KeLowerIrql(KIRQL new_irql)
{
	if (unlikely(new_irql > nt_self.irql)) {
		nt_misuse("KeLowerIrql", NULL, "the new IRQL must not be above the current one");
		return;
	}
	if (new_irql < DISPATCH_LEVEL && unlikely(work_is_pending())) {
		nt_self.irql = DISPATCH_LEVEL;
		drain();
	}
	nt_self.irql = new_irql;
}
