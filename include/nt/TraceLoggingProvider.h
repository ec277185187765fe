/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_TRACELOGGINGPROVIDER_H
#define NT_TRACELOGGINGPROVIDER_H

#include "evntprov.h"

/* TraceLogging as nothing: the fields are not evaluated. */

typedef const struct _tlgProvider_t *TraceLoggingHProvider;

#ifdef __cplusplus
#define NT_TRACELOGGING extern "C"
#else
#define NT_TRACELOGGING extern
#endif
#define TRACELOGGING_DECLARE_PROVIDER(provider) NT_TRACELOGGING const TraceLoggingHProvider provider
#define TRACELOGGING_DEFINE_PROVIDER(provider, ...)           \
	NT_TRACELOGGING const TraceLoggingHProvider provider; \
	const TraceLoggingHProvider provider = NULL
#define TRACELOGGING_DEFINE_PROVIDER_STORAGE(provider, ...) \
	static const int provider __attribute__((unused)) = 0

#define TraceLoggingRegister(provider)             ((void)(provider), nt_no_trace())
#define TraceLoggingRegisterEx(provider, ...)      ((void)(provider), nt_no_trace())
#define TraceLoggingUnregister(provider)           ((void)(provider))
#define TraceLoggingProviderEnabled(provider, ...) ((void)(provider), FALSE)
#define TraceLoggingWrite(provider, ...)           ((void)(provider))
#define TraceLoggingWriteActivity(provider, ...)   ((void)(provider))
#define TraceLoggingWriteStart(activity, ...)      ((void)0)
#define TraceLoggingWriteStop(activity, ...)       ((void)0)
#define TraceLoggingWriteTagged(activity, ...)     ((void)0)

#endif
