/* SPDX-License-Identifier: BSD-2-Clause */
#include "persona_scsi.h"

#define BLOCK      512u
#define READ_10    0x28
#define WRITE_10   0x2a
#define START_STOP 0x1b

const uint16_t persona_scsi_versions[] = { STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1,
	                                   STORVSC_VERSION_WIN8,  STORVSC_VERSION_WIN7,
	                                   STORVSC_VERSION_WIN6,  0 };

void persona_scsi_open(struct persona *p, struct persona_scsi *s, const void *type, uint32_t pages)
{
	const struct persona_opening opening = { .out_pages = pages, .in_pages = pages };

	memset(s, 0, sizeof(*s));
	persona_open(p, &s->channel, persona_find(p, type, 0), &opening);
	s->packet_size = sizeof(struct storvsc_packet);
}

/* An answer is for the driver's own structure: what it does not bring reads as what lay there. */
static void take_answer(struct persona_scsi *s, uint64_t transaction, struct storvsc_packet *packet)
{
	uint32_t size = persona_completed(&s->channel, transaction, packet, sizeof(*packet));

	if (s->answer_size)
		assert_int_equal(size, s->answer_size);
	assert_int_equal(packet->operation, STORVSC_COMPLETE_IO);
}

static uint64_t next_transaction(struct persona_scsi *s)
{
	uint64_t transaction = s->transaction;

	s->transaction += s->transaction_step;
	return transaction;
}

uint32_t persona_scsi_say(struct persona_scsi *s, struct storvsc_packet *packet)
{
	uint64_t transaction = next_transaction(s);

	packet->flags = STORVSC_REQUEST_COMPLETION;
	persona_request(&s->channel, transaction, packet, s->packet_size);
	take_answer(s, transaction, packet);
	return packet->status;
}

static void say_good(struct persona_scsi *s, uint32_t operation, struct storvsc_packet *packet)
{
	memset(packet, 0, sizeof(*packet));
	packet->operation = operation;
	assert_int_equal(persona_scsi_say(s, packet), 0);
}

static void agree(struct persona_scsi *s, const uint16_t *versions)
{
	struct storvsc_packet packet;

	for (; *versions; versions++) {
		memset(&packet, 0, sizeof(packet));
		packet.operation = STORVSC_QUERY_PROTOCOL_VERSION;
		packet.version.major_minor = *versions;
		if (persona_scsi_say(s, &packet) == 0)
			break;
	}
	s->version = *versions;
	assert_true(s->version);
}

void persona_scsi_begin(struct persona_scsi *s, const uint16_t *versions, bool keep_size)
{
	struct storvsc_packet packet;
	bool is_new;

	say_good(s, STORVSC_BEGIN_INITIALIZATION, &packet);
	agree(s, versions);
	is_new = s->version >= STORVSC_VERSION_WIN8;
	s->sense_size = is_new ? STORVSC_SENSE_SIZE : 18;
	if (!keep_size)
		s->packet_size = is_new ? sizeof(packet) : STORVSC_PACKET_SIZE_OLD;
	say_good(s, STORVSC_QUERY_PROPERTIES, &packet);
	s->properties = packet.properties;
	assert_true(s->properties.max_transfer >= 64 << 10);
	say_good(s, STORVSC_END_INITIALIZATION, &packet);
}

static void fill_srb(const struct persona_scsi *s, const struct persona_command *c,
                     struct storvsc_srb *srb)
{
	bool is_new = s->version >= STORVSC_VERSION_WIN8;

	srb->length = is_new ? sizeof(*srb) : STORVSC_SRB_SIZE_OLD;
	if (s->srb_length)
		srb->length = s->srb_length;
	srb->target = c->target;
	srb->lun = c->lun;
	srb->cdb_length = c->cdb_length;
	srb->sense_length = s->sense_size;
	srb->data_in = c->data_in;
	srb->transfer_length = c->size;
	memcpy(srb->cdb, c->cdb, sizeof(srb->cdb));
	if (!is_new)
		return;
	srb->srb_flags = s->srb_flags;
	if (c->data_in == STORVSC_DATA_IN)
		srb->srb_flags |= STORVSC_SRB_DATA_IN;
	else if (c->data_in == STORVSC_DATA_OUT)
		srb->srb_flags |= STORVSC_SRB_DATA_OUT;
}

void persona_scsi_execute(struct persona_scsi *s, const struct persona_command *c,
                          struct storvsc_srb *answer)
{
	struct storvsc_packet packet = { .operation = STORVSC_EXECUTE_SRB,
		                         .flags = STORVSC_REQUEST_COMPLETION };
	struct persona_range range = { c->data, c->size };
	uint64_t transaction = next_transaction(s);

	fill_srb(s, c, &packet.srb);
	if (c->size)
		persona_request_with(&s->channel, transaction, &range, 1, &packet, s->packet_size);
	else
		persona_request(&s->channel, transaction, &packet, s->packet_size);
	take_answer(s, transaction, &packet);
	/* Drivers print, or fail, what moved more than it was to, and sense data longer than theirs
	 * (OpenBSD hvs_complete_cmd, FreeBSD hv_storvsc_on_iocompletion). */
	assert_true(packet.srb.transfer_length <= c->size);
	assert_true(packet.srb.sense_length <= s->sense_size);
	*answer = packet.srb;
}

static uint8_t run(struct persona_scsi *s, uint8_t lun, const uint8_t *cdb, uint8_t cdb_length,
                   uint8_t data_in, void *data, uint32_t size, struct storvsc_srb *answer)
{
	struct persona_command c = {
		.lun = lun, .cdb_length = cdb_length, .data_in = data_in, .data = data, .size = size
	};

	memcpy(c.cdb, cdb, cdb_length);
	persona_scsi_execute(s, &c, answer);
	return answer->srb_status & STORVSC_SRB_STATUS_MASK;
}

uint8_t persona_scsi_in(struct persona_scsi *s, uint8_t lun, const uint8_t *cdb, uint8_t cdb_length,
                        void *data, uint32_t size, struct storvsc_srb *answer)
{
	return run(s, lun, cdb, cdb_length, STORVSC_DATA_IN, data, size, answer);
}

uint8_t persona_scsi_out(struct persona_scsi *s, uint8_t lun, const uint8_t *cdb,
                         uint8_t cdb_length, void *data, uint32_t size, struct storvsc_srb *answer)
{
	return run(s, lun, cdb, cdb_length, STORVSC_DATA_OUT, data, size, answer);
}

uint8_t persona_scsi_none(struct persona_scsi *s, uint8_t lun, const uint8_t *cdb,
                          uint8_t cdb_length, struct storvsc_srb *answer)
{
	return run(s, lun, cdb, cdb_length, STORVSC_DATA_UNSPECIFIED, NULL, 0, answer);
}

static void transfer(struct persona_scsi *s, uint8_t opcode, uint32_t lba, void *data,
                     uint32_t size)
{
	uint8_t cdb[10] = { opcode };
	struct storvsc_srb answer;
	uint8_t status;

	scsi_put32(cdb + 2, lba);
	scsi_put16(cdb + 7, (uint16_t)(size / BLOCK));
	status = opcode == READ_10 ? persona_scsi_in(s, 0, cdb, sizeof(cdb), data, size, &answer)
	                           : persona_scsi_out(s, 0, cdb, sizeof(cdb), data, size, &answer);
	assert_int_equal(status, STORVSC_SRB_SUCCESS);
	assert_int_equal(answer.scsi_status, 0);
	assert_int_equal(answer.transfer_length, size);
}

void persona_scsi_use_disk(struct persona_scsi *s)
{
	/* Not at the beginning of a page. */
	uint8_t *data = (uint8_t *)persona_pages(s->channel.persona, 18) + 1536;
	uint32_t first;

	transfer(s, READ_10, 4096, data, 64 << 10);
	memcpy(&first, data, sizeof(first));
	assert_int_equal(first, 4096);
	memcpy(&first, data + 127 * BLOCK, sizeof(first));
	assert_int_equal(first, 4096 + 127);
	memset(data, 0xa5, BLOCK);
	transfer(s, WRITE_10, 4097, data, BLOCK);
	transfer(s, READ_10, 4096, data + BLOCK, 2 * BLOCK);
	assert_memory_equal(data, data + 2 * BLOCK, BLOCK);
}

static void start_stop(struct persona_scsi *s, bool start)
{
	const uint8_t cdb[6] = { START_STOP, 0, 0, 0, start };
	struct storvsc_srb answer;

	assert_int_equal(persona_scsi_none(s, 0, cdb, sizeof(cdb), &answer), STORVSC_SRB_SUCCESS);
	assert_int_equal(answer.scsi_status, 0);
}

void persona_scsi_stop_disk(struct persona_scsi *s)
{
	static const uint8_t read[10] = { READ_10, 0, 0, 0, 0, 0, 0, 0, 1 };
	uint8_t *data = persona_pages(s->channel.persona, 1);
	struct storvsc_srb answer;

	start_stop(s, false);
	assert_int_not_equal(persona_scsi_in(s, 0, read, sizeof(read), data, BLOCK, &answer),
	                     STORVSC_SRB_SUCCESS);
	assert_int_equal(answer.scsi_status, 2); /* CHECK CONDITION */
	assert_true(answer.srb_status & STORVSC_SRB_AUTOSENSE_VALID);
	/* NOT READY, initializing command required. */
	assert_int_equal(answer.sense[2] & 0xf, 2);
	assert_int_equal(answer.sense[12], 0x04);
	assert_int_equal(answer.sense[13], 0x02);
	start_stop(s, true);
	transfer(s, READ_10, 0, data, BLOCK);
}
