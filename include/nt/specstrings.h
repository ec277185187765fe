/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_SPECSTRINGS_H
#define NT_SPECSTRINGS_H

#include "sal.h"

#endif
