/* Submit a job to a spool: submit SPOOL [COMMAND]; without COMMAND it is read from stdin.
 * cc -o submit submit.c */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *made; /* in tmp/, while it is there */

static void fail(const char *what)
{
    perror(what);
    if (made)
        unlink(made);
    exit(1);
}

static char *join(const char *directory, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        fail("memory");
    return path;
}

/* Which forbids overlong forms, surrogates, and what is past the end of Unicode. */
static int is_utf8(const unsigned char *s, size_t n)
{
    while (n) {
        size_t more = *s < 0x80 ? 0 : *s >= 0xf0 ? 3 : *s >= 0xe0 ? 2 : 1;
        unsigned long c = more == 0 ? *s : *s & (0x3f >> more);
        static const unsigned long least[] = {0, 0x80, 0x800, 0x10000};
        if ((*s >= 0x80 && *s < 0xc2) || *s > 0xf4 || more >= n)
            return 0;
        for (size_t i = 1; i <= more; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return 0;
        s += more + 1;
        n -= more + 1;
    }
    return 1;
}

static void write_job(FILE *file, const unsigned char *command, size_t length)
{
    fputs("{\"command\": \"", file);
    for (size_t i = 0; i < length; i++)
        if (command[i] < 0x20 || command[i] == '"' || command[i] == '\\')
            fprintf(file, "\\u%04x", command[i]);
        else
            putc(command[i], file);
    fputs("\"}\n", file);
}

static unsigned char *read_all(FILE *file, size_t *length)
{
    unsigned char *data = NULL;
    for (*length = 0;;) {
        data = realloc(data, *length + 65536);
        if (!data)
            fail("memory");
        size_t got = fread(data + *length, 1, 65536, file);
        *length += got;
        if (!got && ferror(file))
            fail("stdin");
        if (!got)
            return data;
    }
}

/* Move to another name, and never over what has it. */
static int publish(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(from, to)) /* where the filesystem or the kernel lacks it */
        return -1;
    unlink(from);
    return 0;
}

int main(int argc, char **argv)
{
    static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char random[20], *command;
    char id[21] = "", stamp[32], name[128];
    struct timespec now;
    struct stat info;
    size_t length;

    if (argc < 2) {
        fputs("submit SPOOL [COMMAND]\n", stderr);
        return 2;
    }
    command = argc > 2 ? (unsigned char *)argv[2] : read_all(stdin, &length);
    if (argc > 2)
        length = strlen(argv[2]);
    if (!is_utf8(command, length)) {
        fputs("submit: the command is not UTF-8\n", stderr);
        return 1;
    }

    /* A name of the form: time in UTC with microseconds, priority, attempts so far, id. */
    if (getentropy(random, sizeof random))
        fail("random bytes");
    for (size_t i = 0; i < sizeof random; i++)
        id[i] = letters[random[i] % 32];
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", gmtime(&now.tv_sec));
    snprintf(name, sizeof name, "%s%06ldZ.p5.a0.%s.json", stamp, now.tv_nsec / 1000, id);
    char *tmp = join(argv[1], "tmp"), *pending = join(argv[1], "pending");
    char *path = join(tmp, name), *job = join(pending, name);

    if (stat(tmp, &info))
        fail(tmp);
    int file = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0)
        fail(path);
    made = path;
    FILE *out = fdopen(file, "w");
    if (!out || fchmod(file, info.st_mode & S_ISGID ? 0660 : 0600)) /* a group's, or one's own */
        fail(made);
    write_job(out, command, length);
    if (ferror(out) || fflush(out) || fsync(file) || fclose(out)) /* the data */
        fail(made);
    if (publish(made, job))
        fail(job);
    made = NULL;

    int directory = open(pending, O_RDONLY | O_DIRECTORY);
    if (directory < 0 || fsync(directory)) /* the name */
        fail(pending);
    return puts(id) < 0 || fflush(stdout) != 0;
}
