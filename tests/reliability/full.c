/* Simulates a full disk for programs that write through the C library; preloaded by full.sh.
 *
 * FULL_UNDER   folder on that disk
 * FULL_AFTER   number of bytes that fit; further writes are truncated, then fail with ENOSPC, until the process ends
 * FULL_ODDS    instead: each write, and each new name, fails with a probability of one in this number, seeded by FULL_SEED
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static long after = -1, odds = -1;
static unsigned long state;
static const char *under;

__attribute__((constructor)) static void begin(void) {
    const char *value;
    under = getenv("FULL_UNDER");
    if ((value = getenv("FULL_AFTER"))) after = atol(value);
    if ((value = getenv("FULL_ODDS"))) odds = atol(value);
    if ((value = getenv("FULL_SEED"))) state = strtoul(value, NULL, 10) * 2654435761u + 1;
}

static int unlucky(void) {
    unsigned long drawn = __sync_add_and_fetch(&state, 0x9E3779B97F4A7C15ul);
    drawn = (drawn ^ (drawn >> 30)) * 0xBF58476D1CE4E5B9ul;
    return odds > 0 && (drawn >> 33) % (unsigned long)odds == 0;
}

static int below(const char *path) {
    return under && path && strncmp(path, under, strlen(under)) == 0;
}

static int on_disk(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Number of the `size` bytes that still fit; -1 with errno if none does. */
static ssize_t fitting(int fd, size_t size) {
    if (size == 0 || !on_disk(fd)) return (ssize_t)size;
    if (unlucky()) { errno = ENOSPC; return -1; }
    if (after < 0) return (ssize_t)size;
    long left = __sync_fetch_and_sub(&after, (long)size);
    if (left >= (long)size) return (ssize_t)size;
    __sync_lock_test_and_set(&after, 0);
    if (left > 0) return left;
    errno = ENOSPC;
    return -1;
}

static int named(const char *path) {
    if (below(path) && (unlucky() || after == 0)) { errno = ENOSPC; return -1; }
    return 0;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(write);
    ssize_t fits = fitting(fd, size);
    return fits < 0 ? -1 : real(fd, bytes, (size_t)fits);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    REAL(pwrite64);
    ssize_t fits = fitting(fd, size);
    return fits < 0 ? -1 : real(fd, bytes, (size_t)fits, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    for (int at = 0; at < count; at++)
        if (parts[at].iov_len > 0) return write(fd, parts[at].iov_base, parts[at].iov_len);
    return real(fd, parts, count);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return named(path) ? -1 : real(path, mode);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return named(to) ? -1 : real(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(linkat);
    return named(to) ? -1 : real(from_folder, from, to_folder, to, flags);
}

int open64(const char *path, int flags, ...) {
    REAL(open64);
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
        struct stat64 facts;
        if ((flags & O_TMPFILE) == O_TMPFILE || stat64(path, &facts) != 0)
            if (named(path)) return -1;
    }
    return real(path, flags, mode);
}
