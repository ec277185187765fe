/* SPDX-License-Identifier: BSD-2-Clause */
#include "input/mouse_session.h"

/* The device, in HID 1.11's items (6.2.2); what it says is in the sources of mouse_protocol.h.
 * Linux changes byte 14 if it is 0x25, which is wrong in it. */
static const uint8_t mouse_descriptor[MOUSE_REPORT_DESCRIPTOR_SIZE] = {
	0x05, 0x01,                   /* usage page: generic desktop */
	0x09, 0x02,                   /* usage: mouse */
	0xa1, 0x01,                   /* collection: application */
	0x09, 0x01,                   /* usage: pointer */
	0xa1, 0x00,                   /* collection: physical */
	0x05, 0x09,                   /* usage page: buttons */
	0x19, 0x01, 0x29, 0x05,       /* usages: 1 to 5 */
	0x15, 0x00, 0x25, 0x01,       /* values: 0 to 1 */
	0x95, 0x05, 0x75, 0x01,       /* 5 of 1 bit */
	0x81, 0x02,                   /* input: data, absolute */
	0x95, 0x01, 0x75, 0x03,       /* 1 of 3 bits */
	0x81, 0x01,                   /* input: constant */
	0x05, 0x01,                   /* usage page: generic desktop */
	0x09, 0x30, 0x09, 0x31,       /* usages: X, Y */
	0x15, 0x00, 0x26, 0xff, 0x7f, /* values: 0 to 32767 */
	0x75, 0x10, 0x95, 0x02,       /* 2 of 16 bits */
	0x81, 0x02,                   /* input: data, absolute */
	0x05, 0x01,                   /* usage page: generic desktop */
	0x09, 0x38,                   /* usage: wheel */
	0x16, 0x01, 0x80,             /* values: -32767 */
	0x26, 0xff, 0x7f,             /* to 32767 */
	0x75, 0x10, 0x95, 0x01,       /* 1 of 16 bits */
	0x81, 0x06,                   /* input: data, relative */
	0xc0, 0xc0,                   /* end of both collections */
};

static void mouse_forget(struct mouse_session *s, enum mouse_state state)
{
	s->state = state;
	s->owes_answer = s->owes_device = false;
	s->buttons = 0;
	s->head = s->count = 0;
}

void mouse_session_open(struct mouse_session *s)
{
	mouse_forget(s, MOUSE_OPENED);
}

void mouse_session_close(struct mouse_session *s)
{
	mouse_forget(s, MOUSE_CLOSED);
}

/* ---- what the guest says ---- */

static bool mouse_take_request(struct mouse_session *s, const void *message, uint32_t size,
                               struct machine_fault *fault)
{
	struct mouse_request request;

	if (size < sizeof(request))
		return machine_fault(fault, "size of a request", sizeof(request), size);
	machine_copy(&request, message, sizeof(request));
	mouse_forget(s, request.version == MOUSE_VERSION ? MOUSE_DESCRIBED : MOUSE_REFUSED);
	s->asked = request.version;
	s->owes_answer = true;
	s->owes_device = s->state == MOUSE_DESCRIBED;
	if (s->state == MOUSE_REFUSED)
		return machine_fault(fault, "version", MOUSE_VERSION, request.version);
	return true;
}

static bool mouse_take_ack(struct mouse_session *s, uint32_t size, struct machine_fault *fault)
{
	if (size < sizeof(struct mouse_device_info_ack))
		return machine_fault(fault, "size of an acknowledgement",
		                     sizeof(struct mouse_device_info_ack), size);
	if (s->state != MOUSE_DESCRIBED || s->owes_device)
		return machine_fault(fault, "acknowledgement of a device that was not described",
		                     MOUSE_REQUEST, MOUSE_DEVICE_INFO_ACK);
	s->state = MOUSE_READY;
	return true;
}

bool mouse_session_receive(struct mouse_session *s, const void *message, uint32_t size,
                           struct machine_fault *fault)
{
	struct mouse_header header;

	if (s->state == MOUSE_CLOSED)
		return machine_fault(fault, "message of a closed mouse", 0, size);
	if (size < sizeof(header))
		return machine_fault(fault, "size of a message", sizeof(header), size);
	machine_copy(&header, message, sizeof(header));
	switch (header.type) {
	case MOUSE_REQUEST:
		return mouse_take_request(s, message, size, fault);
	case MOUSE_DEVICE_INFO_ACK:
		return mouse_take_ack(s, size, fault);
	default:
		return machine_fault(fault, "type of a message", MOUSE_REQUEST, header.type);
	}
}

/* ---- what it is told ---- */

static uint32_t mouse_answer(struct mouse_session *s, void *message)
{
	struct mouse_response response = {
		.header = { MOUSE_RESPONSE, sizeof(response) - sizeof(response.header) },
		.version = s->asked,
		.accepted = s->state != MOUSE_REFUSED,
	};

	s->owes_answer = false;
	__builtin_memcpy(message, &response, sizeof(response));
	return sizeof(response);
}

static uint32_t mouse_describe(struct mouse_session *s, void *message)
{
	struct mouse_device_info info = {
		.header = { MOUSE_DEVICE_INFO, sizeof(info.attributes) + sizeof(info.hid) +
		                                       MOUSE_REPORT_DESCRIPTOR_SIZE },
		.attributes = { sizeof(info.attributes), MOUSE_VENDOR, MOUSE_PRODUCT,
		                MOUSE_DEVICE_VERSION },
		.hid = { sizeof(info.hid), MOUSE_HID_DESCRIPTOR, MOUSE_HID_RELEASE, 0, 1,
		         MOUSE_REPORT_DESCRIPTOR, MOUSE_REPORT_DESCRIPTOR_SIZE },
	};

	s->owes_device = false;
	__builtin_memcpy(info.report_descriptor, mouse_descriptor, sizeof(mouse_descriptor));
	__builtin_memcpy(message, &info, sizeof(info));
	return sizeof(info);
}

uint32_t mouse_session_next(struct mouse_session *s, void *message)
{
	struct mouse_report report = { .header = { MOUSE_REPORT,
		                                   sizeof(report) - sizeof(report.header) } };
	const struct mouse_input *input = &s->queue[s->head];

	if (s->owes_answer)
		return mouse_answer(s, message);
	if (s->owes_device)
		return mouse_describe(s, message);
	if (!s->count)
		return 0;
	report.buttons = input->buttons;
	report.x = input->x;
	report.y = input->y;
	report.wheel = input->wheel;
	s->head = (s->head + 1) % MOUSE_QUEUE;
	s->count--;
	__builtin_memcpy(message, &report, sizeof(report));
	return sizeof(report);
}

static uint32_t mouse_count_buttons(uint32_t buttons)
{
	uint32_t count = 0;

	for (; buttons; buttons &= buttons - 1)
		count++;
	return count;
}

/* Beside one that waits there has to be room to let each of its buttons go. */
static bool mouse_has_room(const struct mouse_session *s, uint32_t buttons)
{
	return s->count + mouse_count_buttons(buttons) < MOUSE_QUEUE;
}

/* The last one that waits, if it only moves. */
static struct mouse_input *mouse_last_move(struct mouse_session *s)
{
	struct mouse_input *last = &s->queue[(s->head + s->count - 1) % MOUSE_QUEUE];

	return s->count && last->moves ? last : NULL;
}

bool mouse_session_report(struct mouse_session *s, const struct mouse_input *input)
{
	bool moves = input->buttons == s->buttons && !input->wheel;
	struct mouse_input *at = moves ? mouse_last_move(s) : NULL;

	if (!at && !mouse_has_room(s, input->buttons))
		return false;
	if (!at)
		at = &s->queue[(s->head + s->count++) % MOUSE_QUEUE];
	*at = *input;
	at->moves = moves;
	s->buttons = input->buttons;
	return true;
}
