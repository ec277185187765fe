/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl boot: a Linux kernel in a virtual machine whose bus is VMBus. */
#include "control.h"
#include "vmm.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const char help_begin[] =
	"Usage: kmcl boot --kernel FILE [OPTION]...\n"
	"\n"
	"Boot a Linux kernel on KVM, with Hyper-V's devices. The guest's serial port is the\n"
	"terminal.\n"
	"\n"
	"  -k, --kernel FILE     a bzImage or a 64-bit ELF kernel\n"
	"  -i, --initrd FILE     its initial file system\n"
	"  -a, --append TEXT     its command line\n"
	"  -c, --cpus N          processors, 1 to 8; default 1\n"
	"  -m, --memory SIZE     default 512M\n"
	"      --control PATH    take commands of 'kmcl ctl' there\n";
static const char help_end[] =
	"      --plain-cpu       leave out XSAVE and AVX: for emulated hosts\n"
	"      --no-reboot       end when the guest reboots\n"
	"      --panic-wait N    seconds that a guest that panicked may go on, to print it or to\n"
	"                        dump itself; default 5\n"
	"      --no-console      no serial port on the terminal\n"
	"      --version-max V   the newest version of VMBus to agree on, such as 5.0\n"
	"      --monitored       offer all but the integration components with the monitor page\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit status: 0 the guest powered off or was stopped, 1 it could not be run, 2 wrong\n"
	"usage, 3 it panicked, 4 it rebooted and shall not.\n";

#define EXIT_PANICKED  3
#define EXIT_REBOOTED  4
#define PANIC_WAIT_MAX 86400u

struct boot {
	struct vmm_options vmm;
	const char *control;
	bool no_reboot, no_console;
	char name[32];
	struct termios terminal;
	bool terminal_changed;
};

/* ---- the command line ---- */

static int parse_machine_option(struct boot *b, int c, const char *argument)
{
	uint64_t n;

	switch (c) {
	case 'k':
		b->vmm.kernel = argument;
		return EXIT_OK;
	case 'i':
		b->vmm.initrd = argument;
		return EXIT_OK;
	case 'a':
		b->vmm.command = argument;
		return EXIT_OK;
	case 'c':
		if (!cli_parse_size(argument, 1, VMM_CPUS_MAX, &n))
			return cli_usage("boot", "--cpus takes 1 to %u", VMM_CPUS_MAX);
		b->vmm.cpus = (uint32_t)n;
		return EXIT_OK;
	case 'm':
		if (!cli_parse_size(argument, VMM_MEMORY_MIN, 1ull << 40, &b->vmm.memory) ||
		    b->vmm.memory % (1u << 20))
			return cli_usage("boot", "--memory takes whole MiB, 64M or more");
		return EXIT_OK;
	default:
		return -1;
	}
}

static int parse(struct boot *b, int argc, char **argv)
{
	enum {
		CONTROL = 256,
		PLAIN_CPU,
		NO_REBOOT,
		NO_CONSOLE,
		PANIC_WAIT,
		VERSION_MAX,
		MONITORED
	};
	static const struct option own[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "append", required_argument, NULL, 'a' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "memory", required_argument, NULL, 'm' },
		{ "control", required_argument, NULL, CONTROL },
		{ "plain-cpu", no_argument, NULL, PLAIN_CPU },
		{ "no-reboot", no_argument, NULL, NO_REBOOT },
		{ "no-console", no_argument, NULL, NO_CONSOLE },
		{ "panic-wait", required_argument, NULL, PANIC_WAIT },
		{ "version-max", required_argument, NULL, VERSION_MAX },
		{ "monitored", no_argument, NULL, MONITORED },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *letters;
	uint64_t n;
	const struct option *options = services_options(own, ":k:i:a:c:m:h", &letters);
	int c, code;

	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		switch (c) {
		case CONTROL:
			b->control = optarg;
			code = cli_check_socket("boot", "--control", optarg);
			if (code)
				return code;
			break;
		case PLAIN_CPU:
			b->vmm.plain_cpu = true;
			break;
		case NO_REBOOT:
			b->no_reboot = true;
			break;
		case NO_CONSOLE:
			b->no_console = true;
			break;
		case PANIC_WAIT:
			if (!cli_parse_size(optarg, 0, PANIC_WAIT_MAX, &n))
				return cli_usage("boot", "--panic-wait takes 0 to %u seconds",
				                 PANIC_WAIT_MAX);
			b->vmm.panic_wait = (uint32_t)n;
			break;
		case MONITORED:
			services_take_monitored();
			break;
		case VERSION_MAX:
			code = services_take_version("boot", optarg);
			if (code)
				return code;
			break;
		case 'h':
			fputs(help_begin, stdout);
			services_print_help();
			fputs(help_end, stdout);
			exit(cli_end(EXIT_OK));
		default:
			code = parse_machine_option(b, c, optarg);
			if (code < 0)
				code = services_option("boot", c, optarg);
			if (code > 0)
				return code;
			if (code < 0)
				return cli_bad_option("boot", c, argv);
		}
	}
	if (optind < argc)
		return cli_usage("boot", "no use for '%s'", argv[optind]);
	if (!b->vmm.kernel)
		return cli_usage("boot", "--kernel is needed");
	return EXIT_OK;
}

/* ---- the terminal ---- */

static void terminal_raw(struct boot *b)
{
	struct termios raw;

	if (b->vmm.console_in < 0 || tcgetattr(b->vmm.console_in, &b->terminal))
		return;
	raw = b->terminal;
	cfmakeraw(&raw);
	raw.c_oflag = b->terminal.c_oflag;
	b->terminal_changed = tcsetattr(b->vmm.console_in, TCSANOW, &raw) == 0;
}

static void terminal_restore(struct boot *b)
{
	if (b->terminal_changed)
		tcsetattr(b->vmm.console_in, TCSANOW, &b->terminal);
	b->terminal_changed = false;
}

/* ---- running ---- */

/* The machine that signals and commands go to; there is one at a time, and none between two. */
static pthread_mutex_t running_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t running_unused = PTHREAD_COND_INITIALIZER;
static struct vmm *running;
static unsigned int running_users; /* commands, which may wait for the processors */
static bool stopped;

static void set_running(struct vmm *vmm)
{
	pthread_mutex_lock(&running_lock);
	running = vmm;
	if (running && stopped)
		vmm_stop(running);
	pthread_mutex_unlock(&running_lock);
}

/* The machine has ended: a command that waits for it does so no longer. */
static void end_running(void)
{
	pthread_mutex_lock(&running_lock);
	running = NULL;
	while (running_users)
		pthread_cond_wait(&running_unused, &running_lock);
	pthread_mutex_unlock(&running_lock);
}

static uint64_t reference_time(void *context)
{
	uint64_t time = 0;

	pthread_mutex_lock(&running_lock);
	if (running)
		time = vmm_reference_time(running);
	pthread_mutex_unlock(&running_lock);
	return time;
}

/* ---- commands ---- */

static int run_with(struct control_reply *reply, void (*action)(struct vmm *vmm))
{
	struct vmm *vmm;

	pthread_mutex_lock(&running_lock);
	vmm = running;
	running_users += vmm != NULL;
	pthread_mutex_unlock(&running_lock);
	if (!vmm)
		return control_refuse(reply, "the guest does not run just now");
	action(vmm);
	pthread_mutex_lock(&running_lock);
	running_users--;
	pthread_cond_signal(&running_unused);
	pthread_mutex_unlock(&running_lock);
	return EXIT_OK;
}

static int run_stop(struct control_reply *reply, int argc, char **argv)
{
	return run_with(reply, vmm_stop);
}

static int run_pause(struct control_reply *reply, int argc, char **argv)
{
	return run_with(reply, vmm_pause);
}

static int run_resume(struct control_reply *reply, int argc, char **argv)
{
	return run_with(reply, vmm_resume);
}

static const struct control_command commands[] = {
	{ "stop", "", "end the guest at once", run_stop },
	{ "pause", "", "let its processors stand still", run_pause },
	{ "resume", "", "and run again", run_resume },
	{ 0 },
};

static void *signals_main(void *argument)
{
	const sigset_t *signals = argument;
	int number;

	for (;;) {
		sigwait(signals, &number);
		pthread_mutex_lock(&running_lock);
		stopped = true;
		if (running)
			vmm_stop(running);
		pthread_mutex_unlock(&running_lock);
	}
	return NULL;
}

static int watch_signals(void)
{
	static sigset_t signals;
	pthread_t thread;

	/* Before there are threads, which then have them blocked too. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (pthread_create(&thread, NULL, signals_main, &signals)) {
		cli_error("no thread for signals");
		return EXIT_FAILED;
	}
	pthread_detach(thread);
	return EXIT_OK;
}

/* One life of the guest; *again: it wants another. */
static int run_once(struct boot *b, bool *again)
{
	char why[512] = "";
	struct vmm *vmm;
	enum vmm_end end;

	*again = false;
	if (vmm_create(&b->vmm, &vmm, why, sizeof(why))) {
		cli_error("%s", why);
		return EXIT_FAILED;
	}
	set_running(vmm);
	terminal_raw(b);
	end = vmm_run(vmm, why, sizeof(why));
	terminal_restore(b);
	end_running();
	vmm_destroy(vmm);
	switch (end) {
	case VMM_POWERED_OFF:
		return EXIT_OK;
	case VMM_REBOOTED:
		*again = !b->no_reboot;
		cli_error("%s", why);
		return *again ? EXIT_OK : EXIT_REBOOTED;
	case VMM_PANICKED:
		cli_error("%s", why);
		return EXIT_PANICKED;
	case VMM_STOPPED:
		cli_error("%s", why);
		return EXIT_OK;
	case VMM_FAILED:
		break;
	}
	cli_error("%s", why);
	return EXIT_FAILED;
}

static int run(struct boot *b)
{
	char uri[40];
	bool again;
	int code = watch_signals();

	if (code)
		return code;
	snprintf(b->name, sizeof(b->name), "boot-%d", (int)getpid());
	snprintf(uri, sizeof(uri), "kvm:%s", b->name);
	b->vmm.name = b->name;
	if (b->no_console)
		b->vmm.console_in = b->vmm.console_out = -1;
	code = services_open(uri);
	if (code)
		return code;
	if (b->control)
		code = control_open(b->control, commands);
	if (!code) {
		do {
			code = run_once(b, &again);
		} while (again);
	}
	control_close();
	services_close();
	return code;
}

int boot_main(int argc, char **argv)
{
	struct boot b = {
		.vmm = { .cpus = 1,
		         .memory = 512u << 20,
		         .panic_wait = 5,
		         .console_in = STDIN_FILENO,
		         .console_out = STDOUT_FILENO },
	};
	int code;

	service_ic_want(reference_time);
	code = parse(&b, argc, argv);
	return code ? code : run(&b);
}
