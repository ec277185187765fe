/* SPDX-License-Identifier: BSD-2-Clause */

/* The C library's names as drivers use them, libc's own headers around them. */
#include <wchar.h>
#include <ntddk.h>
#ifdef __cplusplus
#include <string>
#endif
#include <wchar.h>
#include <wctype.h>

/* whichever header came first: not the functions of 32 bits */
#define NAME_OF_(name) #name
#define NAME_OF(name)  NAME_OF_(name)
C_ASSERT(sizeof(NAME_OF(wcslen)) == sizeof("kmcl_wcslen"));
C_ASSERT(sizeof(NAME_OF(wcstombs)) == sizeof("kmcl_wcstombs"));
C_ASSERT(sizeof(NAME_OF(towupper)) == sizeof("kmcl_towupper"));

SIZE_T CrtUse(PWSTR Name, SIZE_T Size, PCSTR Narrow);
SIZE_T CrtUse(PWSTR Name, SIZE_T Size, PCSTR Narrow)
{
	WCHAR wide[64], *dot;
	char narrow[64];
	errno_t error;

	error = wcscpy_s(wide, RTL_NUMBER_OF(wide), Name);
	if (error)
		return 0;
	error = strcpy_s(narrow, sizeof(narrow), Narrow);
	if (error || _stricmp(narrow, "x") == 0)
		return 0;
	dot = wcsrchr(wide, L'.');
	if (dot && _wcsicmp(dot, L".sys") == 0)
		*dot = UNICODE_NULL;
	_snwprintf(Name, Size, L"%ws-%u", wide, (ULONG)wcslen(wide));
	_snprintf(narrow, sizeof(narrow), "%S", wide);
#ifdef __cplusplus
	strcat_s(narrow, "!");
	return std::wcslen(Name) + std::wstring(Name).size() + strlen(narrow);
#else
	return wcslen(Name) + strlen(narrow);
#endif
}
