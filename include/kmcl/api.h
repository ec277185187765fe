/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_API_H
#define KMCL_API_H

/*
 * What the headers in plain C have in common: kmcl/host.h, log.h, kvm.h and one for each service.
 * They know no NT types, and need no flags of a compiler.
 *
 * Functions that can fail return 0 or -errno. A structure of options, or one that is filled in,
 * begins with its size, which the caller sets: fields that a newer library has behind it are taken
 * as 0, or left alone. A newer caller's fields are refused with -E2BIG unless they are 0.
 */

/* Of every public symbol. */
#define KMCL_API __attribute__((visibility("default")))

#endif
