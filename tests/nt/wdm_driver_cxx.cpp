/* SPDX-License-Identifier: BSD-2-Clause */

/* The same driver, compiled as C++. */
#include "wdm_driver.c"
