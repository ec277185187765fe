/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The inline functions of the public headers once more, as functions: for who takes the address of
 * one in a C source compiled with gcc. Weak, as they may be a program's own too.
 */

#define FORCEINLINE __attribute__((weak, visibility("default")))
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#include <ntddk.h>
#include <ntintsafe.h>
#include <ntstrsafe.h>
