/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_SAL1_H
#define NT_SAL1_H

/*
 * Annotations of the first kind, in lower case, as sources from before 2012 have them; all nothing.
 * <sal.h> includes this for C, and for C++ where NT_SAL1 is defined as 1 (before the first header,
 * or with -DNT_SAL1=1): the C++ library has parameters named __in and __out, so there its headers
 * have to come first. NT_SAL1 defined as 0 keeps them out of C too. __reserved and __override are
 * not among them: Linux's headers and others' have members of that name.
 *
 * The names are those of MSDN's "SAL 1" pages, as mingw-w64's specstrings.h and sal.h list them.
 */

/* in */
#define __in
#define __in_z
#define __in_nz
#define __in_ecount(n)
#define __in_ecount_z(n)
#define __in_ecount_nz(n)
#define __in_bcount(n)
#define __in_bcount_z(n)
#define __in_bcount_nz(n)
#define __in_opt
#define __in_z_opt
#define __in_nz_opt
#define __in_ecount_opt(n)
#define __in_ecount_z_opt(n)
#define __in_ecount_nz_opt(n)
#define __in_bcount_opt(n)
#define __in_bcount_z_opt(n)
#define __in_bcount_nz_opt(n)

/* out */
#define __out
#define __out_z
#define __out_nz
#define __out_ecount(n)
#define __out_ecount_z(n)
#define __out_ecount_nz(n)
#define __out_ecount_full(n)
#define __out_ecount_full_z(n)
#define __out_ecount_full_nz(n)
#define __out_ecount_part(n, count)
#define __out_ecount_part_z(n, count)
#define __out_ecount_part_nz(n, count)
#define __out_bcount(n)
#define __out_bcount_z(n)
#define __out_bcount_nz(n)
#define __out_bcount_full(n)
#define __out_bcount_full_z(n)
#define __out_bcount_full_nz(n)
#define __out_bcount_part(n, count)
#define __out_bcount_part_z(n, count)
#define __out_bcount_part_nz(n, count)
#define __out_opt
#define __out_z_opt
#define __out_nz_opt
#define __out_ecount_opt(n)
#define __out_ecount_z_opt(n)
#define __out_ecount_nz_opt(n)
#define __out_ecount_full_opt(n)
#define __out_ecount_full_z_opt(n)
#define __out_ecount_full_nz_opt(n)
#define __out_ecount_part_opt(n, count)
#define __out_ecount_part_z_opt(n, count)
#define __out_ecount_part_nz_opt(n, count)
#define __out_bcount_opt(n)
#define __out_bcount_z_opt(n)
#define __out_bcount_nz_opt(n)
#define __out_bcount_full_opt(n)
#define __out_bcount_full_z_opt(n)
#define __out_bcount_full_nz_opt(n)
#define __out_bcount_part_opt(n, count)
#define __out_bcount_part_z_opt(n, count)
#define __out_bcount_part_nz_opt(n, count)

/* in and out */
#define __inout
#define __inout_z
#define __inout_nz
#define __inout_ecount(n)
#define __inout_ecount_z(n)
#define __inout_ecount_nz(n)
#define __inout_ecount_full(n)
#define __inout_ecount_full_z(n)
#define __inout_ecount_full_nz(n)
#define __inout_ecount_part(n, count)
#define __inout_ecount_part_z(n, count)
#define __inout_ecount_part_nz(n, count)
#define __inout_bcount(n)
#define __inout_bcount_z(n)
#define __inout_bcount_nz(n)
#define __inout_bcount_full(n)
#define __inout_bcount_full_z(n)
#define __inout_bcount_full_nz(n)
#define __inout_bcount_part(n, count)
#define __inout_bcount_part_z(n, count)
#define __inout_bcount_part_nz(n, count)
#define __inout_opt
#define __inout_z_opt
#define __inout_nz_opt
#define __inout_ecount_opt(n)
#define __inout_ecount_z_opt(n)
#define __inout_ecount_nz_opt(n)
#define __inout_ecount_full_opt(n)
#define __inout_ecount_full_z_opt(n)
#define __inout_ecount_full_nz_opt(n)
#define __inout_ecount_part_opt(n, count)
#define __inout_ecount_part_z_opt(n, count)
#define __inout_ecount_part_nz_opt(n, count)
#define __inout_bcount_opt(n)
#define __inout_bcount_z_opt(n)
#define __inout_bcount_nz_opt(n)
#define __inout_bcount_full_opt(n)
#define __inout_bcount_full_z_opt(n)
#define __inout_bcount_full_nz_opt(n)
#define __inout_bcount_part_opt(n, count)
#define __inout_bcount_part_z_opt(n, count)
#define __inout_bcount_part_nz_opt(n, count)

/* what a pointer points at */
#define __deref_out
#define __deref_out_z
#define __deref_out_nz
#define __deref_out_ecount(n)
#define __deref_out_ecount_z(n)
#define __deref_out_ecount_nz(n)
#define __deref_out_ecount_full(n)
#define __deref_out_ecount_full_z(n)
#define __deref_out_ecount_full_nz(n)
#define __deref_out_ecount_part(n, count)
#define __deref_out_ecount_part_z(n, count)
#define __deref_out_ecount_part_nz(n, count)
#define __deref_out_bcount(n)
#define __deref_out_bcount_z(n)
#define __deref_out_bcount_nz(n)
#define __deref_out_bcount_full(n)
#define __deref_out_bcount_full_z(n)
#define __deref_out_bcount_full_nz(n)
#define __deref_out_bcount_part(n, count)
#define __deref_out_bcount_part_z(n, count)
#define __deref_out_bcount_part_nz(n, count)
#define __deref_out_opt
#define __deref_out_z_opt
#define __deref_out_nz_opt
#define __deref_out_ecount_opt(n)
#define __deref_out_ecount_z_opt(n)
#define __deref_out_ecount_nz_opt(n)
#define __deref_out_ecount_full_opt(n)
#define __deref_out_ecount_full_z_opt(n)
#define __deref_out_ecount_full_nz_opt(n)
#define __deref_out_ecount_part_opt(n, count)
#define __deref_out_ecount_part_z_opt(n, count)
#define __deref_out_ecount_part_nz_opt(n, count)
#define __deref_out_bcount_opt(n)
#define __deref_out_bcount_z_opt(n)
#define __deref_out_bcount_nz_opt(n)
#define __deref_out_bcount_full_opt(n)
#define __deref_out_bcount_full_z_opt(n)
#define __deref_out_bcount_full_nz_opt(n)
#define __deref_out_bcount_part_opt(n, count)
#define __deref_out_bcount_part_z_opt(n, count)
#define __deref_out_bcount_part_nz_opt(n, count)

/* the same, and the pointer may be NULL */
#define __deref_opt_out
#define __deref_opt_out_z
#define __deref_opt_out_nz
#define __deref_opt_out_ecount(n)
#define __deref_opt_out_ecount_z(n)
#define __deref_opt_out_ecount_nz(n)
#define __deref_opt_out_ecount_full(n)
#define __deref_opt_out_ecount_full_z(n)
#define __deref_opt_out_ecount_full_nz(n)
#define __deref_opt_out_ecount_part(n, count)
#define __deref_opt_out_ecount_part_z(n, count)
#define __deref_opt_out_ecount_part_nz(n, count)
#define __deref_opt_out_bcount(n)
#define __deref_opt_out_bcount_z(n)
#define __deref_opt_out_bcount_nz(n)
#define __deref_opt_out_bcount_full(n)
#define __deref_opt_out_bcount_full_z(n)
#define __deref_opt_out_bcount_full_nz(n)
#define __deref_opt_out_bcount_part(n, count)
#define __deref_opt_out_bcount_part_z(n, count)
#define __deref_opt_out_bcount_part_nz(n, count)
#define __deref_opt_out_opt
#define __deref_opt_out_z_opt
#define __deref_opt_out_nz_opt
#define __deref_opt_out_ecount_opt(n)
#define __deref_opt_out_ecount_z_opt(n)
#define __deref_opt_out_ecount_nz_opt(n)
#define __deref_opt_out_ecount_full_opt(n)
#define __deref_opt_out_ecount_full_z_opt(n)
#define __deref_opt_out_ecount_full_nz_opt(n)
#define __deref_opt_out_ecount_part_opt(n, count)
#define __deref_opt_out_ecount_part_z_opt(n, count)
#define __deref_opt_out_ecount_part_nz_opt(n, count)
#define __deref_opt_out_bcount_opt(n)
#define __deref_opt_out_bcount_z_opt(n)
#define __deref_opt_out_bcount_nz_opt(n)
#define __deref_opt_out_bcount_full_opt(n)
#define __deref_opt_out_bcount_full_z_opt(n)
#define __deref_opt_out_bcount_full_nz_opt(n)
#define __deref_opt_out_bcount_part_opt(n, count)
#define __deref_opt_out_bcount_part_z_opt(n, count)
#define __deref_opt_out_bcount_part_nz_opt(n, count)

/* in and out */
#define __deref_inout
#define __deref_inout_z
#define __deref_inout_nz
#define __deref_inout_ecount(n)
#define __deref_inout_ecount_z(n)
#define __deref_inout_ecount_nz(n)
#define __deref_inout_ecount_full(n)
#define __deref_inout_ecount_full_z(n)
#define __deref_inout_ecount_full_nz(n)
#define __deref_inout_ecount_part(n, count)
#define __deref_inout_ecount_part_z(n, count)
#define __deref_inout_ecount_part_nz(n, count)
#define __deref_inout_bcount(n)
#define __deref_inout_bcount_z(n)
#define __deref_inout_bcount_nz(n)
#define __deref_inout_bcount_full(n)
#define __deref_inout_bcount_full_z(n)
#define __deref_inout_bcount_full_nz(n)
#define __deref_inout_bcount_part(n, count)
#define __deref_inout_bcount_part_z(n, count)
#define __deref_inout_bcount_part_nz(n, count)
#define __deref_inout_opt
#define __deref_inout_z_opt
#define __deref_inout_nz_opt
#define __deref_inout_ecount_opt(n)
#define __deref_inout_ecount_z_opt(n)
#define __deref_inout_ecount_nz_opt(n)
#define __deref_inout_ecount_full_opt(n)
#define __deref_inout_ecount_full_z_opt(n)
#define __deref_inout_ecount_full_nz_opt(n)
#define __deref_inout_ecount_part_opt(n, count)
#define __deref_inout_ecount_part_z_opt(n, count)
#define __deref_inout_ecount_part_nz_opt(n, count)
#define __deref_inout_bcount_opt(n)
#define __deref_inout_bcount_z_opt(n)
#define __deref_inout_bcount_nz_opt(n)
#define __deref_inout_bcount_full_opt(n)
#define __deref_inout_bcount_full_z_opt(n)
#define __deref_inout_bcount_full_nz_opt(n)
#define __deref_inout_bcount_part_opt(n, count)
#define __deref_inout_bcount_part_z_opt(n, count)
#define __deref_inout_bcount_part_nz_opt(n, count)

/* likewise */
#define __deref_opt_inout
#define __deref_opt_inout_z
#define __deref_opt_inout_nz
#define __deref_opt_inout_ecount(n)
#define __deref_opt_inout_ecount_z(n)
#define __deref_opt_inout_ecount_nz(n)
#define __deref_opt_inout_ecount_full(n)
#define __deref_opt_inout_ecount_full_z(n)
#define __deref_opt_inout_ecount_full_nz(n)
#define __deref_opt_inout_ecount_part(n, count)
#define __deref_opt_inout_ecount_part_z(n, count)
#define __deref_opt_inout_ecount_part_nz(n, count)
#define __deref_opt_inout_bcount(n)
#define __deref_opt_inout_bcount_z(n)
#define __deref_opt_inout_bcount_nz(n)
#define __deref_opt_inout_bcount_full(n)
#define __deref_opt_inout_bcount_full_z(n)
#define __deref_opt_inout_bcount_full_nz(n)
#define __deref_opt_inout_bcount_part(n, count)
#define __deref_opt_inout_bcount_part_z(n, count)
#define __deref_opt_inout_bcount_part_nz(n, count)
#define __deref_opt_inout_opt
#define __deref_opt_inout_z_opt
#define __deref_opt_inout_nz_opt
#define __deref_opt_inout_ecount_opt(n)
#define __deref_opt_inout_ecount_z_opt(n)
#define __deref_opt_inout_ecount_nz_opt(n)
#define __deref_opt_inout_ecount_full_opt(n)
#define __deref_opt_inout_ecount_full_z_opt(n)
#define __deref_opt_inout_ecount_full_nz_opt(n)
#define __deref_opt_inout_ecount_part_opt(n, count)
#define __deref_opt_inout_ecount_part_z_opt(n, count)
#define __deref_opt_inout_ecount_part_nz_opt(n, count)
#define __deref_opt_inout_bcount_opt(n)
#define __deref_opt_inout_bcount_z_opt(n)
#define __deref_opt_inout_bcount_nz_opt(n)
#define __deref_opt_inout_bcount_full_opt(n)
#define __deref_opt_inout_bcount_full_z_opt(n)
#define __deref_opt_inout_bcount_full_nz_opt(n)
#define __deref_opt_inout_bcount_part_opt(n, count)
#define __deref_opt_inout_bcount_part_z_opt(n, count)
#define __deref_opt_inout_bcount_part_nz_opt(n, count)

/* members and others */
#define __checkReturn
#define __refparam
#define __exceptthat
#define __pre
#define __post
#define __deref
#define __deref_in
#define __deref_in_opt
#define __notnull
#define __maybenull
#define __readonly
#define __notreadonly
#define __valid
#define __notvalid
#define __possibly_notnullterminated
#define __out_awcount(test, n)
#define __in_awcount(test, n)
#define __ecount(n)
#define __bcount(n)
#define __ecount_opt(n)
#define __bcount_opt(n)
#define __field_ecount(n)
#define __field_bcount(n)
#define __field_ecount_opt(n)
#define __field_bcount_opt(n)
#define __field_ecount_full(n)
#define __field_bcount_full(n)
#define __field_ecount_full_opt(n)
#define __field_bcount_full_opt(n)
#define __field_ecount_part(n, count)
#define __field_bcount_part(n, count)
#define __field_ecount_part_opt(n, count)
#define __field_bcount_part_opt(n, count)
#define __field_nullterminated
#define __field_range(low, high)
#define __struct_bcount(n)
#define __range(low, high)
#define __in_range(low, high)
#define __out_range(low, high)
#define __success(expression)
#define __on_failure(annotation)
#define __typefix(type)
#define __format_string
#define __allocator
#define __fallthrough
#define __elem_readableTo(n)
#define __elem_writableTo(n)
#define __byte_readableTo(n)
#define __byte_writableTo(n)
#define __control_entrypoint(category)
#define __data_entrypoint(category)
#define __encoded_pointer
#define __encoded_array
#define __analysis_noreturn

#endif
