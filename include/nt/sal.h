/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_SAL_H
#define NT_SAL_H

/* Source annotations, for analysers this library does not run: every one expands to nothing. Those
 * in lower case (__in, __out) are in sal1.h, which says where they can be had. */

#ifndef NT_SAL1
#ifdef __cplusplus
#define NT_SAL1 0
#else
#define NT_SAL1 1
#endif
#endif
#if NT_SAL1
#include "sal1.h"
#endif

#define _In_
#define _In_opt_
#define _In_z_
#define _In_opt_z_
#define _In_count_(n)
#define _In_reads_(n)
#define _In_reads_opt_(n)
#define _In_reads_z_(n)
#define _In_reads_or_z_(n)
#define _In_reads_bytes_(n)
#define _In_reads_bytes_opt_(n)
#define _In_range_(low, high)
#define _Out_
#define _Out_opt_
#define _Out_writes_(n)
#define _Out_writes_opt_(n)
#define _Out_writes_z_(n)
#define _Out_writes_all_(n)
#define _Out_writes_to_(n, count)
#define _Out_writes_bytes_(n)
#define _Out_writes_bytes_opt_(n)
#define _Out_writes_bytes_all_(n)
#define _Out_writes_bytes_all_opt_(n)
#define _Out_writes_bytes_to_(n, count)
#define _Out_writes_bytes_to_opt_(n, count)
#define _Out_range_(low, high)
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _Outptr_opt_result_maybenull_
#define _Outptr_result_nullonfailure_
#define _Outptr_result_buffer_(n)
#define _Outptr_result_bytebuffer_(n)
#define _COM_Outptr_
#define _Inout_
#define _Inout_opt_
#define _Inout_z_
#define _Inout_updates_(n)
#define _Inout_updates_opt_(n)
#define _Inout_updates_z_(n)
#define _Inout_updates_all_(n)
#define _Inout_updates_to_(n, count)
#define _Inout_updates_bytes_(n)
#define _Inout_updates_bytes_opt_(n)
#define _Inout_updates_bytes_to_(n, count)
#define _Reserved_
#define _Const_
#define _Points_to_data_

#define _Ret_maybenull_
#define _Ret_notnull_
#define _Ret_null_
#define _Ret_z_
#define _Ret_range_(low, high)
#define _Ret_writes_(n)
#define _Ret_writes_bytes_(n)
#define _Ret_writes_bytes_maybenull_(n)
#define _Result_nullonfailure_
#define _Result_zeroonfailure_
#define _Return_type_success_(expression)
#define _Success_(expression)
#define _On_failure_(annotation)
#define _Check_return_
#define _Must_inspect_result_
#define _Maybenull_
#define _Notnull_
#define _Null_terminated_
#define _NullNull_terminated_
#define _Printf_format_string_
#define _Frees_ptr_
#define _Frees_ptr_opt_
#define _Field_size_(n)
#define _Field_size_opt_(n)
#define _Field_size_bytes_(n)
#define _Field_size_bytes_opt_(n)
#define _Field_size_bytes_full_(n)
#define _Field_size_full_(n)
#define _Field_range_(low, high)
#define _Field_z_
#define _Struct_size_bytes_(n)
#define _Analysis_assume_(expression)
#define _Analysis_noreturn_
#define _Analysis_mode_(mode)
#define _Always_(annotation)
#define _When_(condition, annotation)
#define _At_(target, annotation)
#define _At_buffer_(target, iterator, bound, annotation)
#define _Pre_
#define _Pre_notnull_
#define _Pre_maybenull_
#define _Pre_valid_
#define _Pre_invalid_
#define _Pre_writable_byte_size_(n)
#define _Pre_satisfies_(expression)
#define _Post_
#define _Post_equal_to_(expression)
#define _Post_invalid_
#define _Post_maybenull_
#define _Post_notnull_
#define _Post_ptr_invalid_
#define _Post_satisfies_(expression)
#define _Post_valid_
#define _Post_writable_byte_size_(n)
#define _Post_z_
#define _Deref_out_range_(low, high)
#define _Unchanged_(expression)
#define _Group_(annotations)
#define _Use_decl_annotations_
#define _Strict_type_match_
#define _Literal_
#define _Notliteral_

/* locks */
#define _Acquires_lock_(lock)
#define _Acquires_exclusive_lock_(lock)
#define _Acquires_shared_lock_(lock)
#define _Acquires_nonreentrant_lock_(lock)
#define _Releases_lock_(lock)
#define _Releases_exclusive_lock_(lock)
#define _Releases_shared_lock_(lock)
#define _Releases_nonreentrant_lock_(lock)
#define _Requires_lock_held_(lock)
#define _Requires_lock_not_held_(lock)
#define _Requires_exclusive_lock_held_(lock)
#define _Requires_shared_lock_held_(lock)
#define _Requires_no_locks_held_
#define _Guarded_by_(lock)
#define _Write_guarded_by_(lock)
#define _Interlocked_
#define _Interlocked_operand_
#define _Has_lock_kind_(kind)
#define _Has_lock_level_(level)
#define _Lock_level_order_(a, b)
#define _Create_lock_level_(level)
#define _Post_same_lock_(a, b)
#define _No_competing_thread_
#define _Benign_race_begin_
#define _Benign_race_end_

/* drivers */
#define _IRQL_requires_(irql)
#define _IRQL_requires_max_(irql)
#define _IRQL_requires_min_(irql)
#define _IRQL_requires_same_
#define _IRQL_always_function_max_(irql)
#define _IRQL_always_function_min_(irql)
#define _IRQL_raises_(irql)
#define _IRQL_saves_
#define _IRQL_saves_global_(kind, parameter)
#define _IRQL_restores_
#define _IRQL_restores_global_(kind, parameter)
#define _IRQL_uses_cancel_
#define _IRQL_is_cancel_
#define _Function_class_(kind)
#define _Dispatch_type_(type)
#define _Kernel_clear_do_init_(yes)
#define _Kernel_entry_
#define _Kernel_float_saved_
#define _Kernel_float_restored_
#define _Kernel_requires_resource_held_(kind)
#define _Kernel_acquires_resource_(kind)
#define _Kernel_releases_resource_(kind)

#define __drv_aliasesMem
#define __drv_allocatesMem(kind)
#define __drv_freesMem(kind)
#define __drv_at(expression, annotation)
#define __drv_when(condition, annotation)
#define __drv_dispatchType(type)
#define __drv_dispatchType_other
#define __drv_floatRestored
#define __drv_floatSaved
#define __drv_functionClass(kind)
#define __drv_inTry
#define __drv_notInTry
#define __drv_innerNeverInMustHold
#define __drv_maxFunctionIRQL(irql)
#define __drv_maxIRQL(irql)
#define __drv_minFunctionIRQL(irql)
#define __drv_minIRQL(irql)
#define __drv_mustHold(kind)
#define __drv_neverHold(kind)
#define __drv_preferredFunction(function, reason)
#define __drv_raisesIRQL(irql)
#define __drv_reportError(text)
#define __drv_requiresIRQL(irql)
#define __drv_restoresIRQL
#define __drv_sameIRQL
#define __drv_savesIRQL
#define __drv_setsIRQL(irql)
#define __drv_strictType(type, mode)
#define __drv_strictTypeMatch(mode)
#define __drv_unit(unit)
#define __drv_acquiresExclusiveResource(kind)
#define __drv_releasesExclusiveResource(kind)

#define __analysis_assume(expression) ((void)0)
#define _Analysis_assume_lock_held_(lock)
#define _Analysis_assume_lock_acquired_(lock)
#define _Analysis_assume_lock_released_(lock)
#define _Analysis_suppress_lock_checking_(lock)
#define __callback
#define __inner_callback
#define __nullterminated
#define __kernel_entry

#endif
