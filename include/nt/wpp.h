/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WPP_H
#define NT_WPP_H

/*
 * WPP tracing as nothing. On Windows a preprocessor writes NAME.tmh for NAME.c; here kmcl-notrace
 * does, and its file includes this one. So a driver without WPP may have a function TraceEvents().
 */

#include "evntrace.h"

#define WPP_INIT_TRACING(...) ((void)0)
#define WPP_CLEANUP(...)      ((void)0)
#define WPP_REGISTER(...)     ((void)0)
#define WPP_SYSTEMCONTROL(...)
#define WPP_SYSTEMCONTROL2(...)
#define DoTraceMessage(...)      ((void)0)
#define DoTraceLevelMessage(...) ((void)0)
#define TraceEvents(...)         ((void)0)
#define WPP_LEVEL_ENABLED(...)   0
#define WPP_FLAG_ENABLED(...)    0

#endif
