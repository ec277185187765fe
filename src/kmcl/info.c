/* SPDX-License-Identifier: BSD-2-Clause */

/* What there is on a bus, for people and programs that look at it from outside the drivers; and the
 * log. */

#include "kmcl/channel.h"

#include <string.h>

static enum kmcl_channel_state info_state(enum life_phase phase)
{
	switch (phase) {
	case LIFE_DISABLED:
		return KMCL_CHANNEL_DISABLED;
	case LIFE_ENABLING:
	case LIFE_ENABLED:
	case LIFE_OPENING:
	case LIFE_CLOSING:
		return KMCL_CHANNEL_ENABLED;
	case LIFE_PAUSED:
	case LIFE_STARTING:
	case LIFE_SUSPENDING:
		return KMCL_CHANNEL_PAUSED;
	case LIFE_POST_STARTING:
	case LIFE_ACTIVE:
		break;
	}
	return KMCL_CHANNEL_ACTIVE;
}

void info_of_offer(const struct bus_offer *offer, struct kmcl_channel_info *info)
{
	memset(info, 0, sizeof(*info));
	memcpy(&info->type, offer->type.bytes, sizeof(GUID));
	memcpy(&info->instance, offer->instance.bytes, sizeof(GUID));
	info->subchannel = offer->subchannel_index;
	info->channel_id = offer->channel_id;
	info->connection_id = offer->connection_id;
	info->offer_flags = offer->flags;
	info->mmio_megabytes = offer->mmio_megabytes;
	info->mmio_megabytes_optional = offer->mmio_megabytes_optional;
	memcpy(info->offer_data, offer->user_defined, sizeof(info->offer_data));
	info->dedicated_interrupt = offer->dedicated_interrupt;
	info->monitored = offer->monitor_allocated;
	info->monitor_id = offer->monitor_id;
	info->state = KMCL_CHANNEL_OFFERED;
}

/* The rings are made and unmade without the lock, but not in these phases. */
static bool info_has_rings(const struct channel *ch)
{
	return ch->life.phase >= LIFE_PAUSED && ch->life.phase < LIFE_CLOSING;
}

static uint32_t info_ring_bytes(const struct channel *ch, const struct ring_map *map)
{
	return info_has_rings(ch) ? (uint32_t)(map->pages - 1) * WIRE_PAGE_SIZE : 0;
}

static uint32_t info_outstanding_out(struct channel *ch)
{
	uint32_t count = 0;

	spin_lock(&ch->out.lock);
	for (uint32_t slot = 0; slot < packet_table_count(&ch->out.table); slot++)
		count += packet_in_flight(ch, slot);
	for (struct outgoing_item *item = ch->out.head; item; item = item->next)
		count++;
	spin_unlock(&ch->out.lock);
	return count;
}

static void info_statistics(struct channel *ch, struct kmcl_statistics *statistics)
{
	const uint64_t *from = (const uint64_t *)&ch->statistics;
	uint64_t *to = (uint64_t *)statistics;

	for (size_t i = 0; i < sizeof(*statistics) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	statistics->faults = atomic_load(&ch->faults);
}

void kmcl_channel_info(VMBCHANNEL channel, struct kmcl_channel_info *info)
{
	struct channel *ch = channel_of(channel);

	if (!ch)
		return;
	pthread_mutex_lock(&ch->lock);
	info_of_offer(&ch->bus_offer, info);
	info->state = info_state(ch->life.phase);
	info->target_vp = ch->server ? ch->open.target_vp : ch->config.target_vp;
	memcpy(info->name, ch->config.name, sizeof(info->name));
	info->ring_in_bytes = info_ring_bytes(ch, &ch->rings.in);
	info->ring_out_bytes = info_ring_bytes(ch, &ch->rings.out);
	info->gpadls = ch->gpadl_count;
	info->outstanding_in = (uint32_t)(atomic_load(&ch->in.owed) & INCOMING_OWED_COUNT);
	info_statistics(ch, &info->statistics);
	pthread_mutex_unlock(&ch->lock);
	info->outstanding_out = info_outstanding_out(ch);
}

void info_of_account(const struct account *account, bool host, struct kmcl_bus_info *info)
{
	info->held_packets = atomic_load(&account->held[ACCOUNT_PACKETS]);
	info->held_gpadls = atomic_load(&account->held[ACCOUNT_GPADLS]);
	info->held_messages = atomic_load(&account->held[ACCOUNT_MESSAGES]);
	info->held = info->held_packets + info->held_gpadls + info->held_messages;
	if (host)
		info->held_max = account_max[ACCOUNT_PACKETS] + account_max[ACCOUNT_GPADLS] +
		                 account_max[ACCOUNT_MESSAGES];
}

/* ---- the log ---- */

static struct info_log {
	kmcl_log_fn *log;
	void *context;
} info_log;

static void info_log_forward(int level, const char *channel, const char *text, void *context)
{
	info_log.log(info_log.context, (enum kmcl_log_level)level, channel, text);
}

C_ASSERT((int)KMCL_LOG_ERROR == (int)NT_LOG_ERROR && (int)KMCL_LOG_TRACE == (int)NT_LOG_TRACE);

void kmcl_log_set(kmcl_log_fn *log, void *context, enum kmcl_log_level level)
{
	info_log.log = log;
	info_log.context = context;
	nt_log_set(log ? info_log_forward : NULL, NULL, (enum nt_log_level)level);
}
