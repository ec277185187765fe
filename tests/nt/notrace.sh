#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A driver that traces, with the headers that kmcl-notrace makes. TAP.
# usage: notrace.sh KMCL-NOTRACE INCLUDE...
set -u

tool=$1
shift
includes=
for directory; do includes="$includes -I $directory"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

cat >trace.h <<'EOF'
#pragma once
#define WPP_CONTROL_GUIDS \
	WPP_DEFINE_CONTROL_GUID(Sample, (12345678, 1234, 1234, 1234, 123456789abc), WPP_DEFINE_BIT(DRV))
// begin_wpp config
// FUNC FuncEntry{LEVEL=TRACE_LEVEL_VERBOSE}(FLAGS);
// FUNC TraceEvents(LEVEL, FLAGS, MSG, ...);
// USEPREFIX (FuncEntry, "%!STDPREFIX! entry");
// end_wpp
// FUNC NotOne(outside);
EOF
cat >Driver.c <<'EOF'
#include <ntddk.h>
#include <evntrace.h>
#include <TraceLoggingProvider.h>
#include "trace.h"
#include "driver.tmh"
#include "sample.h"

TRACELOGGING_DEFINE_PROVIDER(Provider, "Sample",
	(0x12345678, 0x1234, 0x1234, 0x12, 0x34, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc));

EXTERN_C NTSTATUS DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
	NTSTATUS status = TraceLoggingRegister(Provider);
	static const GUID guid = { 1, 2, 3, { 4 } };
	REGHANDLE handle;

	WPP_INIT_TRACING(driver, path);
	FuncEntry(TRACE_DRIVER);
	TraceEvents(TRACE_LEVEL_ERROR, TRACE_DRIVER, "%!FUNC! failed with %!STATUS!", status);
	DoTraceMessage(DRV, "hello %wZ", path);
	TraceLoggingWrite(Provider, "Loaded", TraceLoggingLevel(4), TraceLoggingNTStatus(status, "Status"));
	EventRegisterSample_Driver();
	if (EventEnabledStartEvent())
		status = STATUS_UNSUCCESSFUL;
	EventWriteStartEvent(NULL, driver->DeviceObject, 1);
	if (NT_SUCCESS(EtwRegister(&guid, NULL, NULL, &handle))) {
		if (EtwProviderEnabled(handle, TRACE_LEVEL_ERROR, 0))
			status = STATUS_UNSUCCESSFUL;
		EtwUnregister(handle);
	}
	EventUnregisterSample_Driver();
	TraceLoggingUnregister(Provider);
	WPP_CLEANUP(driver);
	return status;
}
EOF
# a driver without WPP, with a function of that name
cat >plain.c <<'EOF'
#include <ntddk.h>
#include <evntrace.h>
VOID TraceEvents(ULONG level, PCSTR format, ...);
VOID TraceEvents(ULONG level, PCSTR format, ...)
{
	if (level <= TRACE_LEVEL_ERROR)
		DbgPrint("%s", format);
}
EOF
cat >sample.man <<'EOF'
<?xml version="1.0"?>
<instrumentationManifest><instrumentation><events>
  <provider guid="{12345678-1234-1234-1234-123456789abc}" name="Sample-Driver"
      symbol="DriverGuid">
    <events>
      <event value="1" level="win:Informational"
             symbol="StartEvent" template="t"/>
      <event symbol="StopEvent" value="2"/>
    </events>
  </provider>
</events></instrumentation></instrumentationManifest>
EOF

number=0
failed=0
check() { # what, then the command
	number=$((number + 1))
	what=$1
	shift
	if "$@" >out 2>&1; then
		echo "ok $number - $what"
	else
		echo "not ok $number - $what"
		sed 's/^/# /' out
		failed=1
	fi
}
macro_of() { grep -qx "#define $2(...) .*" "tmh/$1"; }
none_of() { ! grep -q "$2" "tmh/$1"; }
refuses() {
	"$@"
	[ $? -eq 2 ]
}

check "it runs" "$tool" tmh trace.h Driver.c plain.c sample.man
check "the header is named as it is included" test -e tmh/driver.tmh
check "a function of the configuration" macro_of driver.tmh FuncEntry
check "none from outside of it" none_of driver.tmh NotOne
check "an event of the manifest" macro_of sample.h EventWriteStopEvent
for compiler in "gcc -xc" "clang -xc" "g++ -xc++" "clang++ -xc++" "clang -xc -fms-extensions -fms-compatibility"; do
	for source in Driver.c plain.c; do
		# shellcheck disable=SC2086
		check "$source with $compiler" $compiler -O1 -c -o out.o -Wall -Wextra -Wno-unused-parameter -Wshadow \
			-Werror -fshort-wchar -Wno-multichar $includes -I tmh "$source"
	done
done
check "wrong usage" refuses "$tool" tmh
check "a file that is not there" sh -c "! '$tool' tmh missing.c"
echo "1..$number"
exit $failed
