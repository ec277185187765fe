/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_EXCPT_H
#define NT_EXCPT_H

#include "ntdef.h"

EXTERN_C_START

/*
 * Structured exception handling, so that code with it compiles: there are no exceptions. A __try
 * block runs, __leave ends it, the block of __except is never run, that of __finally always behind
 * it. What would raise an exception stops the process. So does leaving a block that has a __finally
 * by return, goto, break or continue, as then the second block would not run: use __leave.
 *
 * Where NT_LOWERCASE_SEH is defined (-DNT_LOWERCASE_SEH), C has them without underscores too.
 *
 * In C++ the C++ library has a __try of its own. Where its headers come before this one, a __try
 * may have an __except and nothing else; where they come behind it, none can be used any more.
 */

#define EXCEPTION_EXECUTE_HANDLER    1
#define EXCEPTION_CONTINUE_SEARCH    0
#define EXCEPTION_CONTINUE_EXECUTION (-1)

#define EXCEPTION_NONCONTINUABLE     0x1
#define EXCEPTION_MAXIMUM_PARAMETERS 15

typedef struct _EXCEPTION_RECORD {
	NTSTATUS ExceptionCode;
	ULONG ExceptionFlags;
	struct _EXCEPTION_RECORD *ExceptionRecord;
	PVOID ExceptionAddress;
	ULONG NumberParameters;
	ULONG_PTR ExceptionInformation[EXCEPTION_MAXIMUM_PARAMETERS];
} EXCEPTION_RECORD, *PEXCEPTION_RECORD;

struct _CONTEXT;
typedef struct _EXCEPTION_POINTERS {
	PEXCEPTION_RECORD ExceptionRecord;
	struct _CONTEXT *ContextRecord;
} EXCEPTION_POINTERS, *PEXCEPTION_POINTERS;

/* For filters and handlers, which are not run. */
#define GetExceptionCode()        ((NTSTATUS)0)
#define GetExceptionInformation() ((PEXCEPTION_POINTERS)0)
#define AbnormalTermination()     0
#define _exception_code()         GetExceptionCode()
#define _exception_info()         GetExceptionInformation()
#define _abnormal_termination()   AbnormalTermination()

/* Private. Stops the process: a __finally would be skipped. */
NTKERNELAPI DECLSPEC_NORETURN void kmcl_finally_skipped(void);

typedef struct nt_try {
	BOOLEAN Finally; /* there is one, and the block in front of it has not come to its end */
} NT_TRY;
FORCEINLINE void nt_try_left(const NT_TRY *block)
{
	if (block->Finally)
		kmcl_finally_skipped();
}

EXTERN_C_END

/* clang-format off */
#undef __try
#undef __except
#undef __finally
#undef __leave

#if defined(__cplusplus) && defined(_EXCEPTION_DEFINES_H)

#define NT_NO_SEH(word) static_assert(false, word " beside the C++ library's headers")
struct nt_exception {
	nt_exception() = delete;
};
#if __cpp_exceptions
#define __try            try
#define __except(...) catch (const nt_exception &)
#else
#define __try            if (true)
#define __except(...) else if (!(__VA_ARGS__)) {} else
#endif
#define __finally NT_NO_SEH("__finally");
#define __leave   NT_NO_SEH("__leave")

#else

/*
 * One statement: if (({ labels; go to enter; body: {the block} leave: 1; })) {} else {the other}.
 * What stands behind `enter` is the second keyword's, as only there it is known which one it is.
 */
#define __try                                                            \
	if (__extension__({                                              \
		__label__ nt_enter, nt_body, nt_leave;                   \
		_Pragma("GCC diagnostic push")                           \
		_Pragma("GCC diagnostic ignored \"-Wshadow\"")           \
		NT_TRY nt_block __attribute__((cleanup(nt_try_left)));   \
		_Pragma("GCC diagnostic pop")                            \
		goto nt_enter;                                           \
	nt_body:;
#define __except(...)                                                    \
		goto nt_leave;                                           \
	nt_enter:                                                        \
		nt_block.Finally = FALSE;                                \
		goto nt_body;                                            \
	nt_leave:                                                        \
		TRUE;                                                    \
	}) || !(__VA_ARGS__)) {                                           \
	} else
#define __finally                                                        \
		goto nt_leave;                                           \
	nt_enter:                                                        \
		nt_block.Finally = TRUE;                                 \
		goto nt_body;                                            \
	nt_leave:                                                        \
		nt_block.Finally = FALSE;                                \
		FALSE;                                                   \
	})) {                                                            \
	} else
#define __leave goto nt_leave

#endif
/* clang-format on */

#if defined(NT_LOWERCASE_SEH) && !defined(__cplusplus)
#define try     __try
#define except  __except
#define finally __finally
#define leave   __leave
#endif

#endif
