/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

static void begin_value(struct json *j, const char *key)
{
	unsigned int i;

	if (j->comma)
		fputc(',', j->file);
	if (j->depth)
		fputc('\n', j->file);
	for (i = 0; i < j->depth; i++)
		fputs("  ", j->file);
	if (key)
		fprintf(j->file, "\"%s\": ", key);
	j->comma = true;
}

void json_begin(struct json *j, FILE *file)
{
	*j = (struct json){ .file = file };
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin_value(j, key);
	fputc(bracket, j->file);
	j->depth++;
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	unsigned int i;

	j->depth--;
	if (j->comma) {
		fputc('\n', j->file);
		for (i = 0; i < j->depth; i++)
			fputs("  ", j->file);
	}
	fputc(bracket, j->file);
	j->comma = true;
}

/* A control character by its number; what is not UTF-8 by the one that stands for such. */
static size_t escape(struct json *j, const unsigned char *p)
{
	bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;

	fprintf(j->file, "\\u%04x", c1 ? p[1] : *p < 0x80 ? *p : 0xfffd);
	return c1 ? 2 : 1;
}

void json_string(struct json *j, const char *key, const char *value)
{
	size_t n;

	begin_value(j, key);
	fputc('"', j->file);
	for (; *value; value += n) {
		n = cli_character(value);
		if (*value == '"' || *value == '\\')
			fprintf(j->file, "\\%c", *value);
		else if (n)
			fwrite(value, 1, n, j->file);
		else
			n = escape(j, (const unsigned char *)value);
	}
	fputc('"', j->file);
}

void json_number(struct json *j, const char *key, uint64_t value)
{
	begin_value(j, key);
	fprintf(j->file, "%llu", (unsigned long long)value);
}

void json_real(struct json *j, const char *key, double value)
{
	begin_value(j, key);
	fprintf(j->file, "%.3f", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin_value(j, key);
	fputs(value ? "true" : "false", j->file);
}

void json_null(struct json *j, const char *key)
{
	begin_value(j, key);
	fputs("null", j->file);
}

void json_end(struct json *j)
{
	fputc('\n', j->file);
}
