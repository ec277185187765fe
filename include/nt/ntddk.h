/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_NTDDK_H
#define NT_NTDDK_H

#include "wdm.h"

#endif
