/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * FreeBSD, and illumos, whose drivers are made of FreeBSD's. Sources: FreeBSD sys/dev/hyperv/vmbus
 * (vmbus.c, vmbus_chan.c), storvsc/hv_storvsc_drv_freebsd.c, netvsc/hn_nvs.c and hn_rndis.c,
 * utilities/vmbus_ic.c; illumos usr/src/uts/intel/io/hyperv (vmbus/vmbus.c, utilities/vmbus_ic.c).
 * Where they differ it is said.
 */

#include "persona_ic.h"
#include "persona_net.h"
#include "persona_scsi.h"
#include "visit.h"

#define GPADL_START 0xe1e10u
#define RXBUF       0xcafe
#define CHIM        0xface
#define MESSAGE     40u /* each NVS message, whatever is in it */

/* vmbus_connect: 4.0, 3.0, 2.4, 1.1, 0.13, with the event flags' page at each. */
static void begin_at(struct visit *v, uint32_t version)
{
	const struct services_options options = { .subchannels = 4, .queues = 4 };
	const struct persona_contact contact = { .version = version, .interrupt_page = true };

	visit_begin(v, &options);
	assert_true(persona_contact(&v->guest, &contact));
	v->guest.next_gpadl = GPADL_START;
	persona_request_offers(&v->guest);
}

static void begin(struct visit *v)
{
	begin_at(v, WIRE_VERSION_4_0);
}

/* ---- storvsc ---- */

/* 48 bytes until a version is agreed, and then what that one has. */
static void open_disks(struct visit *v, struct persona_scsi *s)
{
	static const uint16_t versions[] = { STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1,
		                             STORVSC_VERSION_WIN8,  STORVSC_VERSION_WIN7,
		                             STORVSC_VERSION_WIN6,  0 };
	static const uint8_t properties[32];
	const struct persona_opening opening = { .out_pages = 20,
		                                 .in_pages = 20,
		                                 .user_data = properties,
		                                 .user_data_size = sizeof(properties) };

	memset(s, 0, sizeof(*s));
	persona_open(&v->guest, &s->channel, persona_find(&v->guest, &services_scsi, 0), &opening);
	s->packet_size = STORVSC_PACKET_SIZE_OLD;
	s->transaction = 0xfffff80001234560ull; /* a request's address */
	s->transaction_step = 0x40;
	persona_scsi_begin(s, versions, false);
}

/* CAM asks each LUN; storvsc_io_done makes "no device" of INVALID LUN as it stands. */
static void scan(struct persona_scsi *s, uint8_t *data)
{
	static const uint8_t ready[6], inquiry[6] = { 0x12, 0, 0, 0, 36 };
	struct storvsc_srb answer;

	assert_int_equal(persona_scsi_in(s, 0, inquiry, 6, data, 36, &answer), STORVSC_SRB_SUCCESS);
	/* storvsc_io_done: what is below SPC-3 is made SPC-3 where the vendor is Msft; and a data
	 * length that the inquiry data itself belies is an error. */
	assert_true(answer.transfer_length >= 36 && data[4] + 5u >= 36);
	for (uint32_t lun = 1; lun < 64; lun++) {
		persona_scsi_none(s, (uint8_t)lun, ready, 6, &answer);
		assert_int_equal(answer.srb_status, STORVSC_SRB_INVALID_LUN);
	}
}

/* storvsc_send_multichannel_request: the answer, and then as many offers, none of which it asks
 * for; each channel is opened and used in turn. */
static void open_subchannels(struct visit *v, struct persona_scsi *s, struct persona_channel *sub,
                             uint16_t count)
{
	struct storvsc_packet packet = { .operation = STORVSC_CREATE_SUB_CHANNELS,
		                         .subchannels = count };
	const struct persona_opening opening = { .out_pages = 20, .in_pages = 20 };

	assert_true(s->properties.flags & STORVSC_MULTI_CHANNEL);
	assert_true(s->properties.max_subchannels >= count);
	assert_int_equal(persona_scsi_say(s, &packet), 0);
	for (uint16_t i = 0; i < count; i++)
		assert_int_not_equal(persona_hear_offer(&v->guest)->subchannel_index, 0);
	for (uint16_t i = 0; i < count; i++)
		persona_open(&v->guest, &sub[i],
		             persona_find(&v->guest, &services_scsi, (uint16_t)(i + 1)), &opening);
}

static void disks_attach_with_subchannels(void **state)
{
	struct persona_channel sub[2], primary;
	struct persona_scsi s;
	struct visit v;

	begin(&v);
	open_disks(&v, &s);
	scan(&s, persona_pages(&v.guest, 1));
	open_subchannels(&v, &s, sub, 2);
	primary = s.channel;
	for (int i = 0; i < 2; i++) {
		s.channel = sub[i];
		persona_scsi_use_disk(&s);
		sub[i] = s.channel;
	}
	s.channel = primary;
	persona_scsi_use_disk(&s);
	for (int i = 0; i < 2; i++)
		persona_forget(&sub[i]);
	persona_forget(&s.channel);
	visit_end(&v);
}

/* The oldest that it goes down to: one way of signalling, and no subchannels. */
static void disks_attach_at_each_version(void **state)
{
	static const uint32_t versions[] = { WIRE_VERSION_0_13, WIRE_VERSION_1_1, WIRE_VERSION_2_4,
		                             WIRE_VERSION_3_0, WIRE_VERSION_4_0 };
	struct persona_scsi s;
	struct visit v;

	for (uint32_t i = 0; i < 5; i++) {
		begin_at(&v, versions[i]);
		open_disks(&v, &s);
		persona_scsi_use_disk(&s);
		persona_close(&s.channel);
		persona_say(&v.guest, WIRE_UNLOAD); /* vmbus_disconnect waits for nothing */
		visit_end_without_answer(&v);
	}
}

/* ---- hn ---- */

/* hn_nvs_init: each version from 5 down; the configuration and the NDIS version are not answered,
 * and the buffers are the receive buffer and the "chimney" one. */
static void open_net(struct visit *v, struct persona_net *n, const uint32_t *versions)
{
	const struct persona_opening opening = { .out_pages = 32, .in_pages = 32 };
	uint32_t minor;

	memset(n, 0, sizeof(*n));
	persona_open(&v->guest, &n->channel, persona_find(&v->guest, &services_net, 0), &opening);
	persona_net_init(n, versions, MESSAGE);
	minor = n->version <= NVSP_VERSION_4 ? 1 : 30;
	if (n->version >= NVSP_VERSION_2)
		persona_net_configure(n, 1500 + 14, NVSP_CAPABILITY_VLAN, MESSAGE);
	persona_net_ndis(n, 6, minor, MESSAGE);
	persona_net_give_receive(n, 2 << 20, RXBUF, MESSAGE);
	persona_net_give_send(n, 1 << 20, CHIM, MESSAGE);
	/* hn_nvs_conn_chim: sections that are no multiple of 4 are not used. */
	assert_int_equal(n->section_size % 4, 0);
	n->by_section = true;
}

static void the_network_attaches_at_each_version(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_5, NVSP_VERSION_4, NVSP_VERSION_2,
		                             NVSP_VERSION_1, 0 };
	struct persona_net n;
	struct visit v;

	for (uint32_t i = 0; versions[i]; i++) {
		begin(&v);
		open_net(&v, &n, versions + i);
		assert_int_equal(n.version, versions[i]);
		persona_net_begin_rndis(&n, services_address);
		persona_net_exchange(&n, 60);
		n.by_section = false; /* what is long goes by a list of pages */
		persona_net_exchange(&n, 1514);
		persona_net_revoke(&n, CHIM, MESSAGE);
		persona_close(&n.channel);
		visit_end(&v);
	}
}

/* ---- integration components ---- */

/* vmbus_ic_negomsg: of each list the newest that is not newer than the driver's own. */
static struct ic_version not_newer(struct ic_version own, const struct ic_version *list,
                                   uint32_t count)
{
	struct ic_version best = { 0, 0 };

	for (uint32_t i = 0; i < count; i++)
		if (ic_version_number(list[i]) <= ic_version_number(own) &&
		    ic_version_number(list[i]) > ic_version_number(best))
			best = list[i];
	assert_int_not_equal(ic_version_number(best), 0);
	return best;
}

static struct ic_version negotiate(struct persona_ic *ic, struct ic_version framework,
                                   struct ic_version message)
{
	struct persona_ic_lists l;

	persona_ic_lists(ic, &l);
	framework = not_newer(framework, l.versions, l.framework_count);
	message = not_newer(message, l.versions + l.framework_count, l.message_count);
	persona_ic_choose(ic, framework, message, 16);
	return message;
}

static void heartbeat_beats(void **state)
{
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_heartbeat, 4);
	negotiate(&ic, (struct ic_version){ 3, 0 }, (struct ic_version){ 3, 0 });
	for (int i = 0; i < 3; i++) {
		persona_ic_receive(&ic);
		/* vmbus_heartbeat_cb: less than 8 bytes after the header are an error. */
		assert_true(ic.size >= 8 + sizeof(struct ic_header) + 8);
		persona_ic_count(&ic);
		persona_ic_answer(&ic, ic.size);
	}
	persona_ic_receive(&ic);
	services_assert_heartbeat(&v.host);
	persona_close(&ic.channel);
	visit_end(&v);
}

/* vmbus_timesync_cb: 4.0 of the messages, where it is listed. */
static void time_is_told(void **state)
{
	struct ic_timesync body;
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_timesync, 4);
	assert_int_equal(
		negotiate(&ic, (struct ic_version){ 3, 0 }, (struct ic_version){ 4, 0 }).major, 4);
	persona_ic_receive(&ic);
	memcpy(&body, persona_ic_body(&ic), sizeof(body));
	assert_true(ic.size >= 8 + sizeof(struct ic_header) + 22);
	assert_true(body.flags & IC_TIME_SYNC);
	persona_ic_answer(&ic, ic.size);
	persona_ic_receive(&ic);
	persona_close(&ic.channel);
	visit_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(disks_attach_with_subchannels),
	cmocka_unit_test(disks_attach_at_each_version),
	cmocka_unit_test(the_network_attaches_at_each_version),
	cmocka_unit_test(heartbeat_beats),
	cmocka_unit_test(time_is_told),
};

PERSONA_MAIN(tests)
