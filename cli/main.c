/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"Usage: kmcl COMMAND [OPTION]...\n"
	"\n"
	"Hyper-V's VMBus between processes: be the host that offers devices, or the guest\n"
	"that drives them.\n"
	"\n"
	"Commands:\n"
	"  host    offer disks, a network adapter and other services to a guest\n"
	"  guest   list what a host offers; read, write and verify disks; measure\n"
	"  demo    a host and a guest on a disk image, with figures\n"
	"  ctl     command a running host\n"
#ifdef KMCL_VMM
	"  boot    a Linux kernel in a virtual machine, on Hyper-V's devices\n"
#endif
	"  help    this text; 'kmcl help COMMAND' for a command's, as 'kmcl COMMAND --help'\n"
	"\n"
	"      --help     this text\n"
	"      --version  the version\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 the data is not what was expected.\n";

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "host", host_main }, { "guest", guest_main }, { "demo", demo_main }, { "ctl", ctl_main },
#ifdef KMCL_VMM
	{ "boot", boot_main },
#endif
};

static int run(int argc, char **argv);

/* What is closed of descriptors 0 to 2 is /dev/null from here on: a socket or an image in their
 * place would get what is printed. */
static void fill_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			exit(EXIT_FAILED); /* and there is nowhere to say why */
}

/* As src/nt/ram.c has it, which would say that it is wrong and go on with its own. */
#define RAM_MB_MIN 16u
#define RAM_MB_MAX (1024u * 1024u)

static int check_environment(void)
{
	const char *text = getenv("KMCL_RAM_MB");
	uint64_t megabytes;

	if (!text || (strspn(text, "0123456789") == strlen(text) &&
	              cli_parse_size(text, RAM_MB_MIN, RAM_MB_MAX, &megabytes)))
		return EXIT_OK;
	return cli_usage("", "KMCL_RAM_MB in the environment takes %u to %u, not '%s'", RAM_MB_MIN,
	                 RAM_MB_MAX, text);
}

/* "kmcl help guest ls" is "kmcl guest ls --help". */
static int run_help(int argc, char **argv)
{
	static char option[] = "--help";
	char *words[8] = { 0 };
	int n = 0;

	if (argc == 1) {
		fputs(help, stdout);
		return EXIT_OK;
	}
	if (argc > 6)
		return cli_usage("", "no help on so many words");
	while (++n < argc)
		words[n - 1] = argv[n];
	words[n - 1] = option;
	return run(n, words);
}

static int run(int argc, char **argv)
{
	if (!argc)
		return cli_usage("", "what shall it do?");
	if (!strcmp(argv[0], "help"))
		return run_help(argc, argv);
	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h")) {
		fputs(help, stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[0], "--version")) {
		printf("kmcl %d.%d\n", KMCL_VERSION_MAJOR, KMCL_VERSION_MINOR);
		return EXIT_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[0], commands[i].name) != 0)
			continue;
		if (check_environment())
			return EXIT_USAGE;
		opterr = 0; /* cli_bad_option() says it */
		return commands[i].main(argc, argv);
	}
	return cli_usage("", "no command '%s'", argv[0]);
}

int main(int argc, char **argv)
{
	fill_descriptors();
	return cli_end(run(argc - 1, argv + 1));
}
