/* Preloaded into a process: lets the n-th system call that writes below one folder fail.
   fault_arm(n, error, lasting) arms it; fault_fired() tells whether it was reached and disarms. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long left = -1;
static int error_number, lasting, fired;

void fault_arm(long number, int error, int stays) {
  left = number; error_number = error; lasting = stays; fired = 0;
}

int fault_fired(void) { left = -1; return fired; }

static int below(const char *path) {
  const char *folder = getenv("FAULT_FOLDER");
  char whole[PATH_MAX], here[PATH_MAX];
  if (left < 0 || !folder || !path) return 0;
  if (path[0] != '/' && getcwd(here, sizeof here)) {
    snprintf(whole, sizeof whole, "%.2000s/%.2000s", here, path);
    path = whole;
  }
  return strncmp(path, folder, strlen(folder)) == 0;
}

static int below_fd(int fd) {
  char name[64], path[PATH_MAX];
  if (left < 0) return 0;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

static int fails(int concerned) {
  if (!concerned) return 0;
  if (fired && !lasting) return 0;
  if (!fired && left-- > 0) return 0;
  if (!fired) { fired = 1; left = 0; }
  errno = error_number;
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define BY_FD(type, name, parameters, arguments) \
  type name parameters { return fails(below_fd(fd)) ? -1 : REAL(name) arguments; }
#define BY_PATH(type, name, parameters, arguments) \
  type name parameters { return fails(below(path)) ? -1 : REAL(name) arguments; }

BY_FD(ssize_t, write, (int fd, const void *data, size_t count), (fd, data, count))
BY_FD(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
BY_FD(ssize_t, pwrite, (int fd, const void *data, size_t count, off_t at), (fd, data, count, at))
BY_FD(ssize_t, pwrite64, (int fd, const void *data, size_t count, off64_t at), (fd, data, count, at))
BY_FD(int, fsync, (int fd), (fd))
BY_FD(int, fdatasync, (int fd), (fd))
BY_FD(int, ftruncate, (int fd, off_t size), (fd, size))
BY_FD(int, ftruncate64, (int fd, off64_t size), (fd, size))
BY_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode))
BY_PATH(int, chmod, (const char *path, mode_t mode), (path, mode))

int rename(const char *from, const char *path) {
  return fails(below(path)) ? -1 : REAL(rename)(from, path);
}
int renameat(int a, const char *from, int b, const char *path) {
  return fails(below(path)) ? -1 : REAL(renameat)(a, from, b, path);
}
int link(const char *from, const char *path) {
  return fails(below(path)) ? -1 : REAL(link)(from, path);
}
int linkat(int a, const char *from, int b, const char *path, int flags) {
  return fails(below(path)) ? -1 : REAL(linkat)(a, from, b, path, flags);
}

#define OPENS(name, first, before) \
  int name(first const char *path, int flags, ...) { \
    mode_t mode = 0; \
    if (flags & O_CREAT) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
    if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && fails(below(path))) return -1; \
    return REAL(name)(before path, flags, mode); \
  }
#define COMMA ,
OPENS(open, , )
OPENS(open64, , )
OPENS(openat, int at COMMA, at COMMA)
OPENS(openat64, int at COMMA, at COMMA)
