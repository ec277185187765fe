/* SPDX-License-Identifier: BSD-2-Clause */

/* The same blocks, compiled as C++. */
#include "seh_blocks.c"
