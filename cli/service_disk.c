/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <kmcl/disk.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISKS_MAX (KMCL_SCSI_TARGETS * KMCL_SCSI_LUNS)

struct disk_spec {
	enum { DISK_NONE, DISK_COMES, DISK_THERE } state;
	bool busy; /* a command is about it, which may take its time */
	char path[4096];
	char serial[37];
	uint64_t target, lun;
	bool lun_given;
	bool cd;
	struct kmcl_disk_options options;
};

/* The lock is for a moment; who finds what he wants busy is refused, and does not wait. */
static pthread_mutex_t disks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct disk_spec disks[DISKS_MAX];
static uint64_t subchannels = 4, queue_depth = 256;
static struct kmcl_scsi *scsi;

/* ---- options ---- */

/* Those that are there or not; false: it is none of them. */
static bool disk_flag(struct disk_spec *d, const char *option)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "ro", &d->options.read_only },   { "cd", &d->cd },
		{ "direct", &d->options.direct },  { "force", &d->options.force },
		{ "format=raw", &d->options.raw },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(option, flags[i].name))
			return *flags[i].flag = true;
	return false;
}

static bool take_block(struct disk_spec *d, const char *value)
{
	uint64_t block;

	if (!cli_parse_size(value, 512, 4096, &block) || (block != 512 && block != 4096))
		return false;
	d->options.block_size = (uint32_t)block;
	return true;
}

static bool take_serial(struct disk_spec *d, const char *value)
{
	if (!*value || strlen(value) >= sizeof(d->serial))
		return false;
	strcpy(d->serial, value);
	return true;
}

static bool take_target(struct disk_spec *d, const char *value)
{
	return cli_parse_size(value, 0, KMCL_SCSI_TARGETS - 1, &d->target);
}

static bool take_lun(struct disk_spec *d, const char *value)
{
	return d->lun_given = cli_parse_size(value, 0, KMCL_SCSI_LUNS - 1, &d->lun);
}

static bool take_format(struct disk_spec *d, const char *value)
{
	return false; /* format=raw is a flag */
}

/* NULL, or what is wrong with it. */
static const char *disk_option(struct disk_spec *d, const char *option)
{
	static const struct {
		const char *name;
		bool (*take)(struct disk_spec *d, const char *value);
		const char *wrong;
	} values[] = {
		{ "target=", take_target, "targets are 0 and 1" },
		{ "lun=", take_lun, "LUNs are 0 to 63" },
		{ "block=", take_block, "blocks have 512 or 4096 bytes" },
		{ "serial=", take_serial, "serial numbers have 1 to 36 characters" },
		{ "format=", take_format, "raw is the only format that is served" },
	};
	static_assert(KMCL_SCSI_TARGETS == 2 && KMCL_SCSI_LUNS == 64, "said above");

	if (disk_flag(d, option))
		return NULL;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		size_t length = strlen(values[i].name);

		if (strncmp(option, values[i].name, length) != 0)
			continue;
		return values[i].take(d, option + length) ? NULL : values[i].wrong;
	}
	return "there is no such option of a disk";
}

/* "IMAGE,ro,lun=3"; false, with what is wrong in `why`. */
static bool disk_parse(const char *text, struct disk_spec *d, char *why, size_t why_size)
{
	char *option, *rest;

	memset(d, 0, sizeof(*d));
	d->options.size = sizeof(d->options);
	if (strlen(text) >= sizeof(d->path)) {
		snprintf(why, why_size, "the name is too long");
		return false;
	}
	strcpy(d->path, text);
	rest = strchr(d->path, ',');
	if (rest)
		*rest++ = 0;
	while ((option = strsep(&rest, ","))) {
		const char *wrong = disk_option(d, option);

		if (wrong) {
			snprintf(why, why_size, "%.128s: '%.64s': %s", d->path, option, wrong);
			return false;
		}
	}
	if (!*d->path)
		snprintf(why, why_size, "no image");
	else if (d->cd && d->options.raw)
		snprintf(why, why_size, "%.128s: format=raw is for disks, not for discs", d->path);
	return *d->path && !(d->cd && d->options.raw);
}

/* NULL: there are DISKS_MAX. */
static struct disk_spec *free_disk(void)
{
	for (uint32_t i = 0; i < DISKS_MAX; i++)
		if (disks[i].state == DISK_NONE)
			return &disks[i];
	return NULL;
}

static int take_disk(const char *command, const char *argument)
{
	struct disk_spec *d = free_disk();
	char why[256];

	if (!d)
		return cli_usage(command, "more than %u disks", DISKS_MAX);
	if (!disk_parse(argument, d, why, sizeof(why)))
		return cli_usage(command, "--disk: %s", why);
	d->state = DISK_THERE;
	return EXIT_OK;
}

static int take_subchannels(const char *command, const char *argument)
{
	if (!cli_parse_size(argument, 0, KMCL_SCSI_SUBCHANNELS, &subchannels))
		return cli_usage(command, "--subchannels takes 0 to %u", KMCL_SCSI_SUBCHANNELS);
	return EXIT_OK;
}

static int take_depth(const char *command, const char *argument)
{
	if (!cli_parse_size(argument, 1, 4096, &queue_depth) || queue_depth & (queue_depth - 1))
		return cli_usage(command, "--queue-depth takes a power of two up to 4096");
	return EXIT_OK;
}

static const struct service_option options[] = {
	{ "disk", 'd', true, take_disk },
	{ "subchannels", 0, true, take_subchannels },
	{ "queue-depth", 0, true, take_depth },
	{ 0 },
};

/* ---- disks ---- */

static bool is_wanted(void)
{
	return disks[0].state == DISK_THERE;
}

/* Has another one that place? */
static bool place_taken(const struct disk_spec *self, uint64_t lun)
{
	for (uint32_t i = 0; i < DISKS_MAX; i++) {
		const struct disk_spec *d = &disks[i];

		if (d != self && d->state != DISK_NONE && d->lun_given &&
		    d->target == self->target && d->lun == lun)
			return true;
	}
	return false;
}

static void choose_place(struct disk_spec *d)
{
	while (!d->lun_given && place_taken(d, d->lun))
		d->lun++;
	d->lun_given = true;
}

/* Takes as long as opening the image does. */
static bool disk_insert(struct disk_spec *d, char *why, size_t why_size)
{
	if (*d->serial)
		d->options.serial = d->serial;
	if (d->lun >= KMCL_SCSI_LUNS) {
		snprintf(why, why_size, "%.128s: target %llu is full", d->path,
		         (unsigned long long)d->target);
		return false;
	}
	if (d->cd)
		return !kmcl_scsi_add_cd(scsi, (uint8_t)d->target, (uint8_t)d->lun, d->path,
		                         d->options.serial, why, why_size);
	return !kmcl_scsi_add_disk(scsi, (uint8_t)d->target, (uint8_t)d->lun, d->path, &d->options,
	                           why, why_size);
}

static void close_disks(void)
{
	kmcl_scsi_destroy(scsi);
	scsi = NULL;
}

/*
 * A Linux guest never ends what it sends after it was told that the controller goes (drivers/scsi/
 * storvsc_drv.c, storvsc_queuecommand takes -ENODEV for done), and its disk driver sends something
 * then: so the disks go first, and the guest has until it is quiet to notice.
 */
#define QUIET_MS  1000u
#define NOTICE_MS 10000u

static void withdraw_disks(void)
{
	struct kmcl_scsi_statistics before, now = { .size = sizeof(now) };
	unsigned int quiet = 0, passed = 0;

	for (uint32_t i = 0; i < DISKS_MAX; i++)
		if (disks[i].state == DISK_THERE)
			kmcl_scsi_remove(scsi, (uint8_t)disks[i].target, (uint8_t)disks[i].lun);
	kmcl_scsi_get_statistics(scsi, &now);
	while (quiet < QUIET_MS && passed < NOTICE_MS && !services_ending()) {
		before = now;
		usleep(50000);
		kmcl_scsi_get_statistics(scsi, &now);
		quiet = now.requests == before.requests ? quiet + 50 : 0;
		passed += 50;
	}
}

static void say_lost(void *context, uint8_t target, uint8_t lun, int error)
{
	cli_error("disk %u:%u: not all that the guest wrote got to stable storage (%s): what it "
	          "flushes fails until 'disk heal %u:%u'",
	          target, lun, cli_reason(error), target, lun);
}

static int open_disks(struct kmcl_host *host)
{
	struct kmcl_scsi_options controller = {
		.size = sizeof(controller),
		.instance = kmcl_guid_from_name("kmcl host scsi 0"),
		.subchannels = (uint16_t)subchannels,
		.queue_depth = (uint32_t)queue_depth,
		.monitored = services_monitored(),
		.lost = say_lost,
	};
	char why[512];
	int error = kmcl_scsi_create(host, &controller, &scsi);

	if (error) {
		cli_error("cannot offer disks: %s",
		          error == -ENOTSUP ? "this kmcl was built without them (liburing)"
		                            : cli_reason(error));
		return EXIT_FAILED;
	}
	for (uint32_t i = 0; i < DISKS_MAX; i++) {
		if (disks[i].state != DISK_THERE)
			continue;
		choose_place(&disks[i]);
		if (!disk_insert(&disks[i], why, sizeof(why))) {
			cli_error("%s", why);
			close_disks();
			return EXIT_FAILED;
		}
	}
	return EXIT_OK;
}

static void disks_json(struct json *j)
{
	struct kmcl_scsi_statistics st = { .size = sizeof(st) };

	kmcl_scsi_get_statistics(scsi, &st);
	json_number(j, "requests", st.requests);
	json_number(j, "reads", st.reads);
	json_number(j, "writes", st.writes);
	json_number(j, "read_bytes", st.read_bytes);
	json_number(j, "written_bytes", st.written_bytes);
	json_number(j, "other", st.other);
	json_number(j, "errors", st.errors);
	json_number(j, "refused", st.refused);
	json_number(j, "io_submits", st.submits);
	json_number(j, "losses", st.losses);
	json_number(j, "failed_disks", st.failed);
}

static void print_disks(FILE *out)
{
	struct kmcl_scsi_statistics st = { .size = sizeof(st) };

	kmcl_scsi_get_statistics(scsi, &st);
	fprintf(out,
	        "%llu requests: %llu reads (%llu bytes), %llu writes (%llu bytes), %llu others; "
	        "%llu failed; data lost %llu times, %u disks to heal\n",
	        (unsigned long long)st.requests, (unsigned long long)st.reads,
	        (unsigned long long)st.read_bytes, (unsigned long long)st.writes,
	        (unsigned long long)st.written_bytes, (unsigned long long)st.other,
	        (unsigned long long)st.errors, (unsigned long long)st.losses, st.failed);
}

/* ---- commands ---- */

static void place_json(FILE *out, const struct disk_spec *d)
{
	struct json j;

	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_number(&j, "target", d->target);
	json_number(&j, "lun", d->lun);
	json_close(&j, '}');
	json_end(&j);
}

/* A place for it. NULL: there is none. */
static struct disk_spec *disk_come(const struct disk_spec *wanted)
{
	struct disk_spec *d;

	pthread_mutex_lock(&disks_lock);
	d = free_disk();
	if (d) {
		*d = *wanted;
		d->state = DISK_COMES;
		choose_place(d);
	}
	pthread_mutex_unlock(&disks_lock);
	return d;
}

/* The end of what disk_come() or disk_begin() began. */
static void disk_end(struct disk_spec *d, bool there)
{
	pthread_mutex_lock(&disks_lock);
	d->state = there ? DISK_THERE : DISK_NONE;
	d->busy = false;
	pthread_mutex_unlock(&disks_lock);
}

static int run_add(struct control_reply *reply, int argc, char **argv)
{
	struct disk_spec wanted, *d;
	bool there;

	if (!scsi)
		return control_refuse(reply, "there is no SCSI controller: it was started without "
		                             "--disk, or it is rescinded");
	if (!disk_parse(argv[0], &wanted, reply->why, sizeof(reply->why)))
		return EXIT_USAGE;
	d = disk_come(&wanted);
	if (!d)
		return control_refuse(reply, "more than %u disks", DISKS_MAX);
	there = disk_insert(d, reply->why, sizeof(reply->why));
	if (there && reply->json)
		place_json(reply->out, d);
	else if (there)
		fprintf(reply->out, "%llu:%llu\n", (unsigned long long)d->target,
		        (unsigned long long)d->lun);
	disk_end(d, there);
	return there ? EXIT_OK : EXIT_FAILED;
}

static struct disk_spec *find_disk(unsigned int target, unsigned int lun)
{
	for (uint32_t i = 0; i < DISKS_MAX && scsi; i++)
		if (disks[i].state == DISK_THERE && disks[i].target == target &&
		    disks[i].lun == lun)
			return &disks[i];
	return NULL;
}

/* What is at "LUN" or "TARGET:LUN" is this command's until disk_end(). An exit code. */
static int disk_begin(struct control_reply *reply, const char *place, struct disk_spec **disk)
{
	unsigned int target = 0, lun;
	bool busy = false;
	char rest;

	if (sscanf(place, "%u:%u%c", &target, &lun, &rest) != 2) {
		target = 0;
		if (sscanf(place, "%u%c", &lun, &rest) != 1)
			return control_usage(reply, "a place is LUN or TARGET:LUN, not '%s'",
			                     place);
	}
	pthread_mutex_lock(&disks_lock);
	*disk = find_disk(target, lun);
	if (*disk) {
		busy = (*disk)->busy;
		(*disk)->busy = true;
	}
	pthread_mutex_unlock(&disks_lock);
	if (busy)
		return control_refuse(reply, "another command is about the disk at '%s'", place);
	return *disk ? EXIT_OK : control_refuse(reply, "no disk at '%s'", place);
}

static int answer_error(struct control_reply *reply, int error)
{
	return error ? control_refuse(reply, "%s", cli_reason(error)) : EXIT_OK;
}

static int run_remove(struct control_reply *reply, int argc, char **argv)
{
	struct disk_spec *d = NULL;
	int code = disk_begin(reply, argv[0], &d), error;

	if (code)
		return code;
	error = kmcl_scsi_remove(scsi, (uint8_t)d->target, (uint8_t)d->lun);
	disk_end(d, error);
	return answer_error(reply, error);
}

static int run_fail(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_scsi_fault fault = { .size = sizeof(fault), .reads = true, .writes = true };
	struct disk_spec *d = NULL;
	int code = disk_begin(reply, argv[0], &d);

	if (code)
		return code;
	if (!cli_parse_size(argv[1], 0, UINT64_MAX, &fault.lba) ||
	    !cli_parse_size(argv[2], 1, UINT64_MAX, &fault.count))
		code = control_usage(reply, "'%s' and '%s' are no block and number of blocks",
		                     argv[1], argv[2]);
	else
		code = answer_error(
			reply, kmcl_scsi_inject(scsi, (uint8_t)d->target, (uint8_t)d->lun, &fault));
	disk_end(d, true);
	return code;
}

static int run_heal(struct control_reply *reply, int argc, char **argv)
{
	struct disk_spec *d = NULL;
	int code = disk_begin(reply, argv[0], &d), error;

	if (code)
		return code;
	error = kmcl_scsi_heal(scsi, (uint8_t)d->target, (uint8_t)d->lun);
	disk_end(d, true);
	return answer_error(reply, error);
}

static void size_json(FILE *out, uint64_t size)
{
	struct json j;

	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_number(&j, "size", size);
	json_close(&j, '}');
	json_end(&j);
}

/* How large it is now. */
static void answer_size(struct control_reply *reply, const struct disk_spec *d)
{
	struct kmcl_scsi_unit unit = { .size = sizeof(unit) };

	kmcl_scsi_query(scsi, (uint8_t)d->target, (uint8_t)d->lun, &unit);
	if (reply->json)
		size_json(reply->out, unit.bytes);
	else
		fprintf(reply->out, "%llu bytes\n", (unsigned long long)unit.bytes);
}

static int run_resize(struct control_reply *reply, int argc, char **argv)
{
	struct disk_spec *d = NULL;
	uint64_t size = 0;
	int code, error;

	if (argc == 2 && !cli_parse_size(argv[1], 1, INT64_MAX, &size))
		return control_usage(reply, "'%s' is no size", argv[1]);
	code = disk_begin(reply, argv[0], &d);
	if (code)
		return code;
	error = kmcl_scsi_resize(scsi, (uint8_t)d->target, (uint8_t)d->lun, size, reply->why,
	                         sizeof(reply->why));
	if (!error)
		answer_size(reply, d);
	disk_end(d, true);
	return error ? EXIT_FAILED : EXIT_OK;
}

/* The list may be read at any time. */
static void set_path(struct disk_spec *d, const char *path)
{
	pthread_mutex_lock(&disks_lock);
	strcpy(d->path, path);
	pthread_mutex_unlock(&disks_lock);
}

static int run_insert(struct control_reply *reply, int argc, char **argv)
{
	struct disk_spec *d = NULL;
	int code, error;

	if (strlen(argv[1]) >= sizeof(d->path))
		return control_usage(reply, "the image's name is too long");
	code = disk_begin(reply, argv[0], &d);
	if (code)
		return code;
	error = kmcl_scsi_insert(scsi, (uint8_t)d->target, (uint8_t)d->lun, argv[1], reply->why,
	                         sizeof(reply->why));
	if (!error)
		set_path(d, argv[1]);
	disk_end(d, true);
	return error ? EXIT_FAILED : EXIT_OK;
}

static int run_eject(struct control_reply *reply, int argc, char **argv)
{
	struct disk_spec *d = NULL;
	int code, error;

	if (argc == 2 && strcmp(argv[1], "force") != 0)
		return control_usage(reply, "cd eject takes a place and force, not '%s'", argv[1]);
	code = disk_begin(reply, argv[0], &d);
	if (code)
		return code;
	error = kmcl_scsi_eject(scsi, (uint8_t)d->target, (uint8_t)d->lun, argc == 2);
	disk_end(d, true);
	if (error == -EBUSY)
		return control_refuse(reply, "the guest uses the disc and is asked to let go of "
		                             "it; 'force' does not ask");
	return answer_error(reply, error);
}

/* As it is just now; false: there is none in that place. */
static bool copy_disk(uint32_t i, struct disk_spec *copy)
{
	pthread_mutex_lock(&disks_lock);
	*copy = disks[i];
	pthread_mutex_unlock(&disks_lock);
	return copy->state == DISK_THERE;
}

static void query(const struct disk_spec *d, struct kmcl_scsi_unit *unit)
{
	*unit = (struct kmcl_scsi_unit){ .size = sizeof(*unit) };
	if (scsi)
		kmcl_scsi_query(scsi, (uint8_t)d->target, (uint8_t)d->lun, unit);
}

static void list_text(FILE *out)
{
	for (uint32_t i = 0; i < DISKS_MAX; i++) {
		struct kmcl_scsi_unit unit;
		struct disk_spec d;

		if (!copy_disk(i, &d))
			continue;
		query(&d, &unit);
		fprintf(out, "%llu:%llu %s%s%s", (unsigned long long)d.target,
		        (unsigned long long)d.lun, d.path, d.cd ? " CD" : "",
		        d.options.read_only ? " read-only" : "");
		if (unit.lost)
			fprintf(out, " lost data: %s", cli_reason(unit.lost));
		fputc('\n', out);
	}
}

static void disk_json(struct json *j, const struct disk_spec *d)
{
	struct kmcl_scsi_unit unit;

	query(d, &unit);
	json_open(j, NULL, '{');
	json_number(j, "target", d->target);
	json_number(j, "lun", d->lun);
	json_string(j, "image", d->path);
	json_number(j, "size", unit.bytes);
	json_bool(j, "read_only", d->options.read_only || d->cd);
	if (unit.lost)
		json_string(j, "lost_data", cli_reason(unit.lost));
	else
		json_null(j, "lost_data");
	json_bool(j, "cd", d->cd);
	json_bool(j, "inserted", unit.inserted);
	json_bool(j, "tray_open", unit.tray_open);
	json_bool(j, "locked", unit.locked);
	json_close(j, '}');
}

static void list_json(FILE *out)
{
	struct json j;

	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_open(&j, "disks", '[');
	for (uint32_t i = 0; i < DISKS_MAX; i++) {
		struct disk_spec d;

		if (copy_disk(i, &d))
			disk_json(&j, &d);
	}
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
}

static int run_list(struct control_reply *reply, int argc, char **argv)
{
	(reply->json ? list_json : list_text)(reply->out);
	return EXIT_OK;
}

static const struct control_command commands[] = {
	{ "disk list", "", "the disks, and where they are: TARGET:LUN", run_list },
	{ "disk add", "IMAGE[,OPTION]...", "put a disk in", run_add, 1, 1 },
	{ "disk remove", "[TARGET:]LUN", "take one out", run_remove, 1, 1 },
	{ "disk resize", "[TARGET:]LUN [SIZE]", "make one larger, or see that its image is",
	  run_resize, 1, 2 },
	{ "disk fail", "[TARGET:]LUN BLOCK N", "let N blocks fail with a medium error", run_fail, 3,
	  3 },
	{ "disk heal", "[TARGET:]LUN", "let none fail any more; forget lost data", run_heal, 1, 1 },
	{ "cd insert", "[TARGET:]LUN IMAGE", "put a disc into a drive", run_insert, 2, 2 },
	{ "cd eject", "[TARGET:]LUN [force]", "take it out", run_eject, 1, 2 },
	{ 0 },
};

const struct service disk_service = {
	.name = "disk",
	.help = "  -d, --disk IMAGE      serve a raw disk image; may be given again. After the name:\n"
		"                          ,ro          read-only\n"
		"                          ,cd          a disc, in a DVD-ROM drive\n"
		"                          ,direct      past the page cache\n"
		"                          ,force       even if it is mounted on this machine\n"
		"                          ,format=raw  even if it looks like qcow2, VHDX or the like\n"
		"                          ,target=N    0 or 1; default 0\n"
		"                          ,lun=N       0 to 63; default the next one\n"
		"                          ,serial=TEXT its serial number\n"
		"                          ,block=N     512 (default) or 4096 bytes\n"
		"      --subchannels N   the most a disk driver may ask for, 0 to 16; default 4\n"
		"      --queue-depth N   requests in flight per channel, a power of two; default 256\n",
	.options = options,
	.commands = commands,
	.wanted = is_wanted,
	.open = open_disks,
	.close = close_disks,
	.withdraw = withdraw_disks,
	.print = print_disks,
	.json = disks_json,
};
