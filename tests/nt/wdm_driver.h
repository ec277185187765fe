/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_NT_WDM_DRIVER_H
#define TESTS_NT_WDM_DRIVER_H

#ifdef __cplusplus
extern "C"
#endif
	DRIVER_INITIALIZE DriverEntry;

#define IOCTL_DOUBLE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

#endif
