/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_DRIVERSPECS_H
#define NT_DRIVERSPECS_H

#include "sal.h"

#endif
