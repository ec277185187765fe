/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Hyper-V's habits as our SCSI drivers meet them, all at once. Sources: what Linux's
 * drivers/scsi/storvsc_drv.c takes into account (storvsc_on_io_completion,
 * storvsc_handle_error) and says of them: the first command of a disk is answered with a unit
 * attention (06/3F02), a short answer has SRB status 0x12 and the length that came, and MODE SENSE
 * is refused with ILLEGAL REQUEST. Each by itself is in tests/devices/scsi_driver.c.
 */

#include "ends.h"
#include "kmcl/tsan.h"
#include "odd_host.h"
#include "scsi/scsi.h"

#include <stdatomic.h>

struct habits {
	_Atomic uint32_t attentions; /* left to give */
	_Atomic uint32_t shorts, refused;
};

static bool answer_as_hyperv(void *context, const struct storvsc_packet *request,
                             struct storvsc_packet *answer)
{
	struct habits *h = context;

	if (request->operation != STORVSC_EXECUTE_SRB)
		return true;
	switch (request->srb.cdb[0]) {
	case SCSI_READ_16:
		if (h->attentions) {
			h->attentions--;
			odd_host_fail(answer, SCSI_KEY_UNIT_ATTENTION, 0x3f02);
		}
		break;
	case SCSI_INQUIRY:
	case SCSI_REPORT_LUNS:
	case SCSI_SERVICE_ACTION_IN_16:
		if (answer->srb.transfer_length < request->srb.transfer_length) {
			answer->srb.srb_status = STORVSC_SRB_DATA_OVERRUN;
			h->shorts++;
		}
		break;
	case SCSI_MODE_SENSE_6:
		odd_host_fail(answer, SCSI_KEY_ILLEGAL_REQUEST, 0x2000);
		h->refused++;
		break;
	default:
		break;
	}
	return true;
}

/* ThreadSanitizer knows a ring by what kmcl/tsan.h tells it, and the kit's driver, the last of the
 * ends, copies from shared memory before a test could tell it anything. */
#ifdef KMCL_TSAN
#define DISK_ENDS (ENDS_COUNT - 1)
#else
#define DISK_ENDS ENDS_COUNT
#endif

static void a_disk_is_found_and_read(void **state)
{
	for (uint32_t i = 0; i < DISK_ENDS; i++) {
		struct habits habits = { .attentions = 1 };
		const char *uri = persona_uri();
		struct odd_host *host = odd_host_open(uri, answer_as_hyperv, &habits, false);

		assert_non_null(host);
		ends[i]->use_disk(uri);
		assert_int_equal(habits.attentions, 0);
		assert_true(habits.shorts > 0);
		assert_true(habits.refused > 0);
		odd_host_close(host);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_disk_is_found_and_read),
};

PERSONA_MAIN(tests)
