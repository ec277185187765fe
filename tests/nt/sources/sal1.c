/* SPDX-License-Identifier: BSD-2-Clause */

/* Annotations of before 2012. In C++ they are for who asks, behind the C++ library's headers. */
#ifdef __cplusplus
#include <algorithm>
#include <locale>
#include <sstream>
#include <string>
#define NT_SAL1 1
#endif
#include <ntddk.h>

typedef __struct_bcount(sizeof(ULONG) + Count) struct _ITEMS {
	ULONG Count;
	__field_ecount(Count) PUCHAR Items;
	__field_bcount_opt(8) PVOID Optional;
} ITEMS;

__drv_maxIRQL(PASSIVE_LEVEL) __checkReturn __success(return == STATUS_SUCCESS) NTSTATUS
	Sal1(__in PDEVICE_OBJECT Device, __in_opt PVOID Context, __in_bcount(Size) PVOID Input,
             __in_ecount(Size) PCSTR Text, __in_z PCSTR Name, __in ULONG Size,
             __out_bcount_part(Size, *Written) PVOID Output, __out PULONG Written,
             __out_opt PULONG More, __inout PULONG Both, __inout_opt PULONG Either,
             __deref_out PVOID *Pointer, __deref_out_opt PVOID *Perhaps,
             __deref_opt_out_bcount(4) PVOID *Bytes, __range(0, 7) ULONG Small);
NTSTATUS Sal1(__in PDEVICE_OBJECT Device, __in_opt PVOID Context, __in_bcount(Size) PVOID Input,
              __in_ecount(Size) PCSTR Text, __in_z PCSTR Name, __in ULONG Size,
              __out_bcount_part(Size, *Written) PVOID Output, __out PULONG Written,
              __out_opt PULONG More, __inout PULONG Both, __inout_opt PULONG Either,
              __deref_out PVOID *Pointer, __deref_out_opt PVOID *Perhaps,
              __deref_opt_out_bcount(4) PVOID *Bytes, __range(0, 7) ULONG Small)
{
	ITEMS items = { Size, (PUCHAR)Output, Input };

	if (!Device || !Context || !Text || !Name || !More || !Either || !Bytes)
		return STATUS_INVALID_PARAMETER;
	*Written = items.Count + Small;
	*Both += 1;
	*Pointer = items.Items;
	*Perhaps = items.Optional;
	return STATUS_SUCCESS;
}
