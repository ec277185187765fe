/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_INTERLOCKED_H
#define NT_WDM_INTERLOCKED_H

#include "../ntdef.h"

/*
 * Any IRQL. Each is a full barrier unless its name ends in Acquire, Release or NoFence.
 * Increment, Decrement and Add return the new value; Exchange, CompareExchange, ExchangeAdd, And,
 * Or, Xor and the bit tests the old one.
 */

#define NT_INTERLOCKED(suffix, type, variant, order)                                           \
	FORCEINLINE type InterlockedIncrement##variant##suffix(type volatile *p)               \
	{                                                                                      \
		return __atomic_add_fetch(p, 1, order);                                        \
	}                                                                                      \
	FORCEINLINE type InterlockedDecrement##variant##suffix(type volatile *p)               \
	{                                                                                      \
		return __atomic_sub_fetch(p, 1, order);                                        \
	}                                                                                      \
	FORCEINLINE type InterlockedExchange##variant##suffix(type volatile *p, type value)    \
	{                                                                                      \
		return __atomic_exchange_n(p, value, order);                                   \
	}                                                                                      \
	FORCEINLINE type InterlockedExchangeAdd##variant##suffix(type volatile *p, type value) \
	{                                                                                      \
		return __atomic_fetch_add(p, value, order);                                    \
	}                                                                                      \
	FORCEINLINE type InterlockedAdd##variant##suffix(type volatile *p, type value)         \
	{                                                                                      \
		return __atomic_add_fetch(p, value, order);                                    \
	}                                                                                      \
	FORCEINLINE type InterlockedAnd##variant##suffix(type volatile *p, type value)         \
	{                                                                                      \
		return __atomic_fetch_and(p, value, order);                                    \
	}                                                                                      \
	FORCEINLINE type InterlockedOr##variant##suffix(type volatile *p, type value)          \
	{                                                                                      \
		return __atomic_fetch_or(p, value, order);                                     \
	}                                                                                      \
	FORCEINLINE type InterlockedXor##variant##suffix(type volatile *p, type value)         \
	{                                                                                      \
		return __atomic_fetch_xor(p, value, order);                                    \
	}

#define NT_INTERLOCKED_COMPARE(suffix, type, variant, order, failed)                    \
	FORCEINLINE type InterlockedCompareExchange##variant##suffix(                   \
		type volatile *p, type exchange, type comparand)                        \
	{                                                                               \
		__atomic_compare_exchange_n(p, &comparand, exchange, 0, order, failed); \
		return comparand;                                                       \
	}

#define NT_INTERLOCKED_SIZE(suffix, type)                                                 \
	NT_INTERLOCKED(suffix, type, , __ATOMIC_SEQ_CST)                                  \
	NT_INTERLOCKED(suffix, type, Acquire, __ATOMIC_ACQUIRE)                           \
	NT_INTERLOCKED(suffix, type, Release, __ATOMIC_RELEASE)                           \
	NT_INTERLOCKED(suffix, type, NoFence, __ATOMIC_RELAXED)                           \
	NT_INTERLOCKED_COMPARE(suffix, type, , __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)        \
	NT_INTERLOCKED_COMPARE(suffix, type, Acquire, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE) \
	NT_INTERLOCKED_COMPARE(suffix, type, Release, __ATOMIC_RELEASE, __ATOMIC_RELAXED) \
	NT_INTERLOCKED_COMPARE(suffix, type, NoFence, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

NT_INTERLOCKED_SIZE(, LONG)
NT_INTERLOCKED_SIZE(64, LONG64)
NT_INTERLOCKED_SIZE(16, SHORT)

#undef NT_INTERLOCKED
#undef NT_INTERLOCKED_COMPARE
#undef NT_INTERLOCKED_SIZE

FORCEINLINE PVOID InterlockedExchangePointer(PVOID volatile *p, PVOID value)
{
	return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
}
FORCEINLINE PVOID InterlockedCompareExchangePointer(PVOID volatile *p, PVOID exchange,
                                                    PVOID comparand)
{
	__atomic_compare_exchange_n(p, &comparand, exchange, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return comparand;
}
FORCEINLINE BOOLEAN InterlockedBitTestAndSet(LONG volatile *p, LONG bit)
{
	ULONG mask = 1U << (bit & 31);

	return (__atomic_fetch_or((ULONG volatile *)p + (bit >> 5), mask, __ATOMIC_SEQ_CST) &
	        mask) != 0;
}
FORCEINLINE BOOLEAN InterlockedBitTestAndReset(LONG volatile *p, LONG bit)
{
	ULONG mask = 1U << (bit & 31);

	return (__atomic_fetch_and((ULONG volatile *)p + (bit >> 5), ~mask, __ATOMIC_SEQ_CST) &
	        mask) != 0;
}

/* Untyped uses of the pointer forms, as drivers write them: InterlockedExchangePointer(&p, q). */
#ifndef __cplusplus
#define InterlockedExchangePointer(p, value) \
	InterlockedExchangePointer((PVOID volatile *)(ULONG_PTR)(p), (value))
#define InterlockedCompareExchangePointer(p, exchange, comparand) \
	InterlockedCompareExchangePointer((PVOID volatile *)(ULONG_PTR)(p), (exchange), (comparand))
#endif

/* Orders everything before against everything after, for the compiler and the processor. */
FORCEINLINE void KeMemoryBarrier(void)
{
	__sync_synchronize();
}
#define MemoryBarrier()               KeMemoryBarrier()
#define KeMemoryBarrierWithoutFence() __asm__ volatile("" ::: "memory")
#define _ReadWriteBarrier()           KeMemoryBarrierWithoutFence()

#define NT_READ_WRITE(suffix, type)                                           \
	FORCEINLINE type Read##suffix##Acquire(type const volatile *p)        \
	{                                                                     \
		return __atomic_load_n(p, __ATOMIC_ACQUIRE);                  \
	}                                                                     \
	FORCEINLINE type Read##suffix##NoFence(type const volatile *p)        \
	{                                                                     \
		return __atomic_load_n(p, __ATOMIC_RELAXED);                  \
	}                                                                     \
	FORCEINLINE void Write##suffix##Release(type volatile *p, type value) \
	{                                                                     \
		__atomic_store_n(p, value, __ATOMIC_RELEASE);                 \
	}                                                                     \
	FORCEINLINE void Write##suffix##NoFence(type volatile *p, type value) \
	{                                                                     \
		__atomic_store_n(p, value, __ATOMIC_RELAXED);                 \
	}
NT_READ_WRITE(, LONG)
NT_READ_WRITE(64, LONG64)
NT_READ_WRITE(ULong, ULONG)
NT_READ_WRITE(ULong64, ULONG64)
NT_READ_WRITE(UShort, USHORT)
NT_READ_WRITE(UChar, UCHAR)
NT_READ_WRITE(Pointer, PVOID)
#undef NT_READ_WRITE

/* Tells the processor that this thread spins. */
FORCEINLINE void YieldProcessor(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}
#define KeYieldProcessor() YieldProcessor()

#endif
