/* FUSE file system for elsewhere.sh that passes everything on to a folder, with the properties of another file system.
 *
 *     elsewhere FOLDER MOUNTPOINT [PROPERTY...] [-- OPTION...]
 *
 * network[=N]  behaves like NFS: names, missing names and attributes are cached for N seconds (3); opening and locking a file revalidates
 *              (close-to-open); once a folder is known to have changed, its cached missing names are dropped; written bytes stay in
 *              this process until the file is closed, synced, locked or its attributes are read; an exclusive lock needs a file open for
 *              writing, a shared lock one open for reading, else EBADF; no RENAME_NOREPLACE. Two of these on one folder act as two
 *              machines.
 * nolocks=E    flock fails with E: ENOLCK, ENOSYS or EOPNOTSUPP
 * nolinks      no hard links and no symbolic links
 * norights     all files have fixed permissions, and changing them fails (FAT)
 * nosync       folders cannot be synced
 * nocase       names are case-insensitive (ASCII) and case-preserving
 * times=N      timestamps have a resolution of N seconds
 *
 * OPTIONs are passed to FUSE (`-o ro`). A file deleted while open stays in its folder under another name until it is closed, as on
 * NFS; the library does that.
 */
#define FUSE_USE_VERSION 312
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *folder;
static double network;
static int no_locks, no_links, no_rights, no_sync, no_case;
static long times = 0;
static struct fuse *fuse;

/* An open file. Written bytes not passed on yet are contiguous. */
struct open {
    int fd, flags;
    dev_t device;
    ino_t inode;
    char *bytes;
    size_t size;
    off_t at;
    struct open *next;
};

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static struct open *all;
enum { MOST = 1 << 20 };

/* ---- paths ---- */

/* The name in `parent` that `name` refers to, ignoring case. */
static void as_written(const char *parent, char *name) {
    struct stat facts;
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", parent, name) >= (int)sizeof path || lstat(path, &facts) == 0) return;
    DIR *entries = opendir(parent);
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strcasecmp(entry->d_name, name) == 0) {
            strcpy(name, entry->d_name);
            break;
        }
    closedir(entries);
}

/* Location of a path in the folder. */
static int place(const char *path, char out[PATH_MAX]) {
    if (strlen(folder) + strlen(path) + 1 >= PATH_MAX) return -ENAMETOOLONG;
    if (!no_case) {
        sprintf(out, "%s%s", folder, path);
        return 0;
    }
    strcpy(out, folder);
    char rest[PATH_MAX];
    strcpy(rest, path);
    for (char *at, *name = strtok_r(rest, "/", &at); name; name = strtok_r(NULL, "/", &at)) {
        char own[NAME_MAX + 1];
        if (strlen(name) > NAME_MAX) return -ENAMETOOLONG;
        strcpy(own, name);
        as_written(out, own);
        strcat(out, "/");
        strcat(out, own);
    }
    return 0;
}

#define PLACE(path, name)                                                                                                      \
    char name[PATH_MAX];                                                                                                       \
    do {                                                                                                                       \
        int wrong = place(path, name);                                                                                         \
        if (wrong) return wrong;                                                                                               \
    } while (0)

static int result(int value) { return value < 0 ? -errno : value; }

/* ---- write cache ---- */

/* Flushes cached bytes; `one` is held. */
static int pass_on(struct open *file) {
    size_t done = 0;
    while (done < file->size) {
        ssize_t wrote = pwrite(file->fd, file->bytes + done, file->size - done, file->at + (off_t)done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) {
            int wrong = -errno;
            file->size = 0;
            return wrong;
        }
        done += (size_t)wrote;
    }
    file->size = 0;
    return 0;
}

/* Flushes cached bytes of a file, from all of its open descriptors. Returns whether there were any. */
static int pass_on_all(dev_t device, ino_t inode) {
    if (network == 0) return 0;
    int some = 0;
    pthread_mutex_lock(&one);
    for (struct open *file = all; file; file = file->next)
        if (file->size > 0 && file->inode == inode && file->device == device) {
            pass_on(file);
            some = 1;
        }
    pthread_mutex_unlock(&one);
    return some;
}

static void pass_on_at(const char *place) {
    struct stat facts;
    if (network > 0 && lstat(place, &facts) == 0) pass_on_all(facts.st_dev, facts.st_ino);
}

/* ---- attribute and name cache ---- */

/* Last known states of folders. */
struct seen {
    ino_t inode;
    struct timespec modified;
    struct seen *next;
};
static struct seen *seen[4096];

static int same(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/* Cached missing names; `folder` is the inode of their folder. */
struct absent {
    ino_t folder;
    time_t asked;
    struct absent *next;
    char place[];
};
static struct absent *absent[4096];
/* Number of observed folder changes; older answers are not trusted. */
static unsigned long changes;

static time_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static struct absent **slot(const char *place) {
    unsigned hash = 5381;
    for (; *place; place++) hash = hash * 33 + (unsigned char)*place;
    return &absent[hash % 4096];
}

/* Whether a name is cached as missing. */
static int believed_absent(const char *place) {
    int found = 0;
    pthread_mutex_lock(&one);
    for (struct absent *at = *slot(place); at; at = at->next)
        found |= strcmp(at->place, place) == 0 && at->asked + (time_t)network > now();
    pthread_mutex_unlock(&one);
    return found;
}

/* Drops a cached missing name, or all of a folder if no name is given; `one` is held. */
static void forget_absent(const char *place, ino_t folder) {
    struct absent **from = place ? slot(place) : absent, **to = place ? from + 1 : absent + 4096;
    for (; from < to; from++)
        for (struct absent **at = from; *at;) {
            struct absent *old = *at;
            if (place ? strcmp(old->place, place) == 0 : old->folder == folder) {
                *at = old->next;
                free(old);
            } else {
                at = &old->next;
            }
        }
}

/* Caches a missing name that was looked up after `asked` folder changes. */
static void note_absent(const char *place, ino_t folder, unsigned long asked) {
    struct absent *new = malloc(sizeof *new + strlen(place) + 1);
    if (!new) return;
    pthread_mutex_lock(&one);
    if (asked != changes) {
        pthread_mutex_unlock(&one);
        free(new);
        return;
    }
    forget_absent(place, 0);
    new->folder = folder;
    new->asked = now();
    strcpy(new->place, place);
    new->next = *slot(place);
    *slot(place) = new;
    pthread_mutex_unlock(&one);
}

/* Records the current state of a folder. `before`, if given, is its state before this machine's own change. */
static void note_folder(const struct stat *now, const struct stat *before) {
    int changed = 0;
    pthread_mutex_lock(&one);
    struct seen **at = &seen[now->st_ino % 4096];
    while (*at && (*at)->inode != now->st_ino) at = &(*at)->next;
    if (!*at) {
        if ((*at = calloc(1, sizeof **at))) (*at)->inode = now->st_ino;
    } else {
        changed = !same((*at)->modified, before ? before->st_mtim : now->st_mtim);
    }
    if (*at) (*at)->modified = now->st_mtim;
    if (changed) {
        forget_absent(NULL, now->st_ino);
        changes++;
    }
    pthread_mutex_unlock(&one);
}

static void cut(const char *place, char parent[PATH_MAX]) {
    strcpy(parent, place);
    char *slash = strrchr(parent, '/');
    if (slash) *slash = 0;
}

/* Opens the folder of `place`; -1 if that does not matter. */
static int parent_of(const char *place) {
    char parent[PATH_MAX];
    cut(place, parent);
    return network > 0 ? open(parent, O_RDONLY | O_DIRECTORY) : -1;
}

/* Order of the folders of two places. */
static int order_of(const char *left, const char *right) {
    char of_left[PATH_MAX], of_right[PATH_MAX];
    cut(left, of_left);
    cut(right, of_right);
    return strcmp(of_left, of_right);
}

/* Locks the folder of `place` while this machine changes it, so that no other one does in between: like a server, a change returns the
 * states before and after. */
static int begin(const char *place, struct stat *before) {
    int fd = parent_of(place);
    if (fd >= 0) {
        flock(fd, LOCK_EX);
        fstat(fd, before);
    }
    return fd;
}

/* `came` is the result of the change, with errno. */
static int end(const char *place, const struct stat *before, int fd, int came) {
    struct stat now;
    int error = errno;
    if (fd >= 0) {
        fstat(fd, &now);
        note_folder(&now, before);
        close(fd);
        pthread_mutex_lock(&one);
        forget_absent(place, 0);
        pthread_mutex_unlock(&one);
    }
    errno = error;
    return result(came);
}

#define CHANGE(place, change)                                                                                                  \
    struct stat before;                                                                                                        \
    int parent = begin(place, &before);                                                                                        \
    return end(place, &before, parent, change)

/* ---- attributes ---- */

static void show(struct stat *facts) {
    if (no_rights) {
        struct fuse_context *who = fuse_get_context();
        facts->st_mode = (facts->st_mode & S_IFMT) | 0755;
        facts->st_uid = who->uid;
        facts->st_gid = who->gid;
    }
    if (times > 0) {
        struct timespec *each[] = {&facts->st_atim, &facts->st_mtim, &facts->st_ctim};
        for (int at = 0; at < 3; at++) {
            each[at]->tv_sec -= each[at]->tv_sec % times;
            each[at]->tv_nsec = 0;
        }
    }
}

static int e_getattr(const char *path, struct stat *facts, struct fuse_file_info *info) {
    PLACE(path, at);
    struct open *file = info ? (struct open *)info->fh : NULL;
    if (!file && network > 0 && believed_absent(at)) return -ENOENT;
    unsigned long asked = __atomic_load_n(&changes, __ATOMIC_SEQ_CST);
    for (int twice = 0; twice < 2; twice++) {
        if ((file ? fstat(file->fd, facts) : lstat(at, facts)) < 0) {
            struct stat parent;
            int error = errno;
            int fd = error == ENOENT ? parent_of(at) : -1;
            if (fd >= 0) {
                if (fstat(fd, &parent) == 0) note_absent(at, parent.st_ino, asked);
                close(fd);
            }
            return -error;
        }
        if (!S_ISREG(facts->st_mode) || !pass_on_all(facts->st_dev, facts->st_ino)) break;
    }
    if (network > 0 && S_ISDIR(facts->st_mode)) note_folder(facts, NULL);
    show(facts);
    return 0;
}

static int e_readlink(const char *path, char *out, size_t size) {
    PLACE(path, at);
    ssize_t length = readlink(at, out, size - 1);
    if (length < 0) return -errno;
    out[length] = 0;
    return 0;
}

static int e_readdir(const char *path, void *out, fuse_fill_dir_t fill, off_t from, struct fuse_file_info *info,
                     enum fuse_readdir_flags how) {
    (void)from, (void)info, (void)how;
    PLACE(path, at);
    DIR *entries = opendir(at);
    if (!entries) return -errno;
    for (struct dirent *entry; (entry = readdir(entries));) {
        struct stat facts = {.st_ino = entry->d_ino, .st_mode = (mode_t)DTTOIF(entry->d_type)};
        if (fill(out, entry->d_name, &facts, 0, 0)) break;
    }
    closedir(entries);
    return 0;
}

static int e_statfs(const char *path, struct statvfs *facts) {
    PLACE(path, at);
    return result(statvfs(at, facts));
}

static int e_access(const char *path, int mask) {
    PLACE(path, at);
    return result(access(at, mask));
}

/* ---- names ---- */

static int e_mkdir(const char *path, mode_t mode) {
    PLACE(path, at);
    CHANGE(at, mkdir(at, mode));
}

static int e_rmdir(const char *path) {
    PLACE(path, at);
    CHANGE(at, rmdir(at));
}

static int e_unlink(const char *path) {
    PLACE(path, at);
    CHANGE(at, unlink(at));
}

static int e_symlink(const char *to, const char *path) {
    if (no_links) return -EPERM;
    PLACE(path, at);
    CHANGE(at, symlink(to, at));
}

static int e_link(const char *from, const char *path) {
    if (no_links) return -EPERM;
    PLACE(from, old);
    PLACE(path, at);
    CHANGE(at, link(old, at));
}

static int e_rename(const char *from, const char *path, unsigned flags) {
    if (flags && network > 0) return -EINVAL;
    PLACE(from, old);
    PLACE(path, at);
    /* Only the case changes. */
    if (no_case && strcmp(old, at) == 0) strcpy(strrchr(at, '/'), strrchr(path, '/'));
    pass_on_at(old);
    /* Always in the same order, and each folder once, to avoid deadlocks between machines. */
    struct stat was, before;
    int order = order_of(old, at);
    int first = begin(order < 0 ? old : at, order < 0 ? &was : &before);
    int second = order == 0 ? -1 : begin(order < 0 ? at : old, order < 0 ? &before : &was);
    int came = renameat2(AT_FDCWD, old, AT_FDCWD, at, flags);
    came = end(order < 0 ? at : old, order < 0 ? &before : &was, second, came) < 0 ? -1 : 0;
    came = end(order < 0 ? old : at, order < 0 ? &was : &before, first, came) < 0 ? -1 : 0;
    if (network > 0) {
        pthread_mutex_lock(&one);
        forget_absent(at, 0);
        pthread_mutex_unlock(&one);
    }
    return result(came);
}

static int e_chmod(const char *path, mode_t mode, struct fuse_file_info *info) {
    (void)info;
    if (no_rights) return (mode & 0777) == 0755 ? 0 : -EPERM;
    PLACE(path, at);
    return result(chmod(at, mode));
}

static int e_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *info) {
    (void)info;
    if (no_rights) return -EPERM;
    PLACE(path, at);
    return result(lchown(at, user, group));
}

static int e_truncate(const char *path, off_t size, struct fuse_file_info *info) {
    PLACE(path, at);
    pass_on_at(at);
    return result(info ? ftruncate(((struct open *)info->fh)->fd, size) : truncate(at, size));
}

static int e_utimens(const char *path, const struct timespec when[2], struct fuse_file_info *info) {
    (void)info;
    PLACE(path, at);
    pass_on_at(at);
    return result(utimensat(AT_FDCWD, at, when, AT_SYMLINK_NOFOLLOW));
}

/* ---- open files ---- */

static int take(int fd, int flags, struct fuse_file_info *info) {
    struct stat facts;
    struct open *file = calloc(1, sizeof *file);
    if (!file || fstat(fd, &facts) < 0) {
        free(file);
        close(fd);
        return -EIO;
    }
    *file = (struct open){.fd = fd, .flags = flags, .device = facts.st_dev, .inode = facts.st_ino};
    pass_on_all(file->device, file->inode);
    pthread_mutex_lock(&one);
    file->next = all;
    all = file;
    pthread_mutex_unlock(&one);
    info->fh = (uint64_t)file;
    return 0;
}

/* Writes use offsets, so that anyone who needs cached bytes can flush them. */
static int flags_of(int flags) { return flags & ~(O_APPEND | O_NOFOLLOW | O_EXCL | O_CREAT); }

static int e_create(const char *path, mode_t mode, struct fuse_file_info *info) {
    PLACE(path, at);
    struct stat before;
    int parent = begin(at, &before);
    int fd = open(at, flags_of(info->flags) | O_CREAT | (info->flags & O_EXCL), no_rights ? 0755 : mode);
    int came = end(at, &before, parent, fd);
    return came < 0 ? came : take(fd, info->flags, info);
}

static int e_open(const char *path, struct fuse_file_info *info) {
    PLACE(path, at);
    if (info->flags & O_TRUNC) pass_on_at(at);
    int fd = open(at, flags_of(info->flags));
    /* The cached name is gone: look it up again, once. */
    if (fd < 0) return network > 0 && errno == ENOENT ? -ESTALE : -errno;
    int came = take(fd, info->flags, info);
    if (came == 0 && network > 0) fuse_invalidate_path(fuse, path);
    return came;
}

static int e_read(const char *path, char *out, size_t size, off_t at, struct fuse_file_info *info) {
    (void)path;
    struct open *file = (struct open *)info->fh;
    pass_on_all(file->device, file->inode);
    return result((int)pread(file->fd, out, size, at));
}

static int e_write(const char *path, const char *bytes, size_t size, off_t at, struct fuse_file_info *info) {
    (void)path;
    struct open *file = (struct open *)info->fh;
    if (network == 0) return result((int)pwrite(file->fd, bytes, size, at));
    int wrong = 0;
    pthread_mutex_lock(&one);
    if (!file->bytes && !(file->bytes = malloc(MOST))) wrong = -ENOMEM;
    if (!wrong && file->size > 0 && (file->at + (off_t)file->size != at || file->size + size > MOST)) wrong = pass_on(file);
    if (!wrong && size > MOST) {
        wrong = -EINVAL;
    } else if (!wrong) {
        if (file->size == 0) file->at = at;
        memcpy(file->bytes + file->size, bytes, size);
        file->size += size;
    }
    pthread_mutex_unlock(&one);
    return wrong ? wrong : (int)size;
}

static int e_flush(const char *path, struct fuse_file_info *info) {
    (void)path;
    struct open *file = (struct open *)info->fh;
    pthread_mutex_lock(&one);
    int wrong = pass_on(file);
    pthread_mutex_unlock(&one);
    return wrong;
}

static int e_fsync(const char *path, int bytes_alone, struct fuse_file_info *info) {
    struct open *file = (struct open *)info->fh;
    int wrong = e_flush(path, info);
    pass_on_all(file->device, file->inode);
    return wrong ? wrong : result(bytes_alone ? fdatasync(file->fd) : fsync(file->fd));
}

static int e_release(const char *path, struct fuse_file_info *info) {
    (void)path;
    struct open *file = (struct open *)info->fh;
    pthread_mutex_lock(&one);
    pass_on(file);
    for (struct open **at = &all; *at; at = &(*at)->next)
        if (*at == file) {
            *at = file->next;
            break;
        }
    pthread_mutex_unlock(&one);
    close(file->fd);
    free(file->bytes);
    free(file);
    return 0;
}

static int e_opendir(const char *path, struct fuse_file_info *info) {
    (void)info;
    PLACE(path, at);
    DIR *entries = opendir(at);
    return entries ? closedir(entries) : -errno;
}

static int e_fsyncdir(const char *path, int bytes_alone, struct fuse_file_info *info) {
    (void)bytes_alone, (void)info;
    if (no_sync) return -EINVAL;
    PLACE(path, at);
    int fd = open(at, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return -errno;
    int came = result(fsync(fd));
    close(fd);
    return came;
}

static int e_flock(const char *path, struct fuse_file_info *info, int how) {
    struct open *file = (struct open *)info->fh;
    int kind = how & ~LOCK_NB, mode = file->flags & O_ACCMODE;
    if (no_locks) return -no_locks;
    if (network > 0 && ((kind == LOCK_EX && mode == O_RDONLY) || (kind == LOCK_SH && mode == O_WRONLY))) return -EBADF;
    pass_on_all(file->device, file->inode);
    /* Never blocking: a waiting process may be killed. */
    while (flock(file->fd, kind | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || (how & LOCK_NB)) return -errno;
        if (fuse_interrupted()) return -EINTR;
        usleep(3000);
    }
    if (network > 0 && kind != LOCK_UN && path) fuse_invalidate_path(fuse, path);
    return 0;
}

static void *e_init(struct fuse_conn_info *system, struct fuse_config *config) {
    (void)system;
    config->use_ino = 1;
    config->auto_cache = 1;
    config->attr_timeout = config->entry_timeout = network;
    fuse = fuse_get_context()->fuse;
    return NULL;
}

static const struct fuse_operations operations = {
    .init = e_init, .getattr = e_getattr, .readlink = e_readlink, .readdir = e_readdir, .opendir = e_opendir, .statfs = e_statfs,
    .access = e_access, .mkdir = e_mkdir, .rmdir = e_rmdir, .unlink = e_unlink, .symlink = e_symlink, .link = e_link,
    .rename = e_rename, .chmod = e_chmod, .chown = e_chown, .truncate = e_truncate, .utimens = e_utimens, .create = e_create,
    .open = e_open, .read = e_read, .write = e_write, .flush = e_flush, .fsync = e_fsync, .release = e_release,
    .fsyncdir = e_fsyncdir, .flock = e_flock,
};

static int trait(const char *word) {
    if (strncmp(word, "network", 7) == 0) network = word[7] == '=' ? atof(word + 8) : 3;
    else if (strcmp(word, "nolocks=ENOLCK") == 0) no_locks = ENOLCK;
    else if (strcmp(word, "nolocks=ENOSYS") == 0) no_locks = ENOSYS;
    else if (strcmp(word, "nolocks=EOPNOTSUPP") == 0) no_locks = EOPNOTSUPP;
    else if (strcmp(word, "nolinks") == 0) no_links = 1;
    else if (strcmp(word, "norights") == 0) no_rights = 1;
    else if (strcmp(word, "nosync") == 0) no_sync = 1;
    else if (strcmp(word, "nocase") == 0) no_case = 1;
    else if (strncmp(word, "times=", 6) == 0) times = atol(word + 6);
    else return 0;
    return 1;
}

int main(int count, char **words) {
    if (count < 3 || !(folder = realpath(words[1], NULL))) {
        fprintf(stderr, "usage: %s FOLDER MOUNTPOINT [TRAIT...] [-- OPTION...]\n", words[0]);
        return 2;
    }
    /* A process that waits for a lock occupies a thread here. */
    struct fuse_args rest = FUSE_ARGS_INIT(0, NULL);
    fuse_opt_add_arg(&rest, words[0]);
    fuse_opt_add_arg(&rest, words[2]);
    fuse_opt_add_arg(&rest, "-f");
    fuse_opt_add_arg(&rest, "-omax_threads=200,max_idle_threads=8,fsname=elsewhere");
    int at = 3;
    for (; at < count && strcmp(words[at], "--") != 0; at++)
        if (!trait(words[at])) {
            fprintf(stderr, "%s: no such trait: %s\n", words[0], words[at]);
            return 2;
        }
    for (at++; at < count; at++) fuse_opt_add_arg(&rest, words[at]);
    umask(0);
    return fuse_main(rest.argc, rest.argv, &operations, NULL);
}
