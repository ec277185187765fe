/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

#include <fcntl.h>
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
	"  host    offer disks and an echo service to a guest\n"
	"  guest   list what a host offers; read, write and verify disks; measure\n"
	"  demo    a host and a guest on a disk image, with figures\n"
	"  ctl     command a running host\n"
#ifdef KMCL_VMM
	"  boot    a Linux kernel in a virtual machine, on Hyper-V's devices\n"
#endif
	"\n"
	"      --help     this text; 'kmcl COMMAND --help' for a command's\n"
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

/* What is closed of descriptors 0 to 2 is /dev/null from here on: a socket or an image in their
 * place would get what is printed. */
static void fill_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			exit(EXIT_FAILED); /* and there is nowhere to say why */
}

int main(int argc, char **argv)
{
	size_t i;

	fill_descriptors();

	if (argc < 2)
		return cli_usage("", "what shall it do?");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		fputs(help, stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("kmcl %d.%d\n", KMCL_VERSION_MAJOR, KMCL_VERSION_MINOR);
		return EXIT_OK;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc - 1, argv + 1);
	}
	return cli_usage("", "no command '%s'", argv[1]);
}
