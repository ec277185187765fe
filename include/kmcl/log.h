/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_LOG_H
#define KMCL_LOG_H

/* What the library says to people. */

#include <kmcl/api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kmcl_log_level { KMCL_LOG_ERROR, KMCL_LOG_WARNING, KMCL_LOG_INFO, KMCL_LOG_TRACE };

/* Called from any thread, at any IRQL up to D; `text` has no newline. `channel` is "" where it is
 * about none. */
typedef void kmcl_log_fn(void *context, enum kmcl_log_level level, const char *channel,
                         const char *text);

/* Takes over from the default, which writes warnings and errors to stderr; NULL: back to it. Any
 * thread. */
KMCL_API void kmcl_log_set(kmcl_log_fn *log, void *context, enum kmcl_log_level level);

#ifdef __cplusplus
}
#endif

#endif
