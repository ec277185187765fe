/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

struct hash {
	EVP_MD_CTX *context;
};

struct hash *hash_new(void)
{
	struct hash *h = malloc(sizeof(*h));

	if (!h)
		return NULL;
	h->context = EVP_MD_CTX_new();
	if (!h->context || !EVP_DigestInit_ex(h->context, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(h->context);
		free(h);
		return NULL;
	}
	return h;
}

void hash_add(struct hash *h, const void *data, size_t n)
{
	EVP_DigestUpdate(h->context, data, n);
}

void hash_finish(struct hash *h, char text[HASH_TEXT_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0, i;

	EVP_DigestFinal_ex(h->context, digest, &n);
	for (i = 0; i < n && i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	EVP_MD_CTX_free(h->context);
	free(h);
}

int hash_file(const char *path, char text[HASH_TEXT_SIZE])
{
	size_t size = 1 << 20;
	char *buffer = malloc(size);
	struct hash *h = hash_new();
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	ssize_t n = 0;

	if (fd < 0)
		error = -errno;
	else if (!buffer || !h)
		error = -ENOMEM;
	while (!error && (n = read(fd, buffer, size)) > 0)
		hash_add(h, buffer, (size_t)n);
	if (n < 0)
		error = -errno;
	if (h)
		hash_finish(h, text);
	if (fd >= 0)
		close(fd);
	free(buffer);
	return error;
}
