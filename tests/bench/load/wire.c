#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_SECONDS = 120, COMPLAINTS_SHOWN = 5 };

const char *wire_host = "127.0.0.1";
atomic_long wire_errors;

static int wire_index; /* where an SSL keeps its wire */

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    wire *w = SSL_get_ex_data(ssl, wire_index);
    if (w == NULL)
        return 0; /* it resumed another's session: its own tickets are of no use */
    SSL_SESSION_free(w->session);
    w->session = session;
    return 1;
}

SSL_CTX *wire_setup(int tls_version)
{
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(context, tls_version == 12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_ticket);
    wire_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return context;
}

int wire_connect(wire *w, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {TIMEOUT_SECONDS, 0};
    int on = 1;

    memset(w, 0, sizeof *w);
    inet_pton(AF_INET, wire_host, &address.sin_addr);
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return -1;
    if (connect(w->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        wire_close(w);
        return -1;
    }
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(w->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return 0;
}

int wire_start_tls(wire *w, SSL_CTX *context, const wire *resume)
{
    w->filled = 0;
    w->ssl = SSL_new(context);
    SSL_set_fd(w->ssl, w->fd);
    if (resume == NULL) {
        SSL_set_ex_data(w->ssl, wire_index, w);
    } else if (resume->session != NULL) {
        SSL_SESSION *copy = SSL_SESSION_dup(resume->session); /* OpenSSL marks a TLS 1.3 session as used */
        SSL_set_session(w->ssl, copy);
        SSL_SESSION_free(copy);
    }
    return SSL_connect(w->ssl) == 1 ? 0 : -1;
}

int wire_write(wire *w, const void *bytes, size_t count)
{
    const char *next = bytes;

    while (count > 0) {
        long written = w->ssl ? SSL_write(w->ssl, next, (int)count) : write(w->fd, next, count);
        if (written <= 0)
            return -1;
        next += written;
        count -= written;
    }
    return 0;
}

/* The end of the next whole line in the buffer (behind its LF), or NULL; reads more where there is none yet. */
static char *next_line(wire *w)
{
    for (;;) {
        char *end = memchr(w->buffer, '\n', w->filled);
        if (end != NULL)
            return end + 1;
        if (w->filled == sizeof w->buffer)
            return NULL; /* no reply line is that long */
        size_t room = sizeof w->buffer - w->filled;
        char *to = w->buffer + w->filled;
        long got = w->ssl ? SSL_read(w->ssl, to, (int)room) : read(w->fd, to, room);
        if (got <= 0)
            return NULL;
        w->filled += got;
    }
}

/* RFC 959 section 4.2 and RFC 5321 section 4.2.1: "226-" opens a reply of several lines, "226 " ends it. */
int wire_reply(wire *w)
{
    int code = -1;

    for (;;) {
        char *end = next_line(w);
        if (end == NULL) {
            strcpy(w->reply, "(connection closed)");
            return -1;
        }
        size_t length = end - w->buffer;
        size_t shown = length < sizeof w->reply ? length : sizeof w->reply - 1;
        memcpy(w->reply, w->buffer, shown);
        w->reply[shown] = 0;
        w->reply[strcspn(w->reply, "\r\n")] = 0;
        w->filled -= length;
        memmove(w->buffer, end, w->filled);

        char *line = w->reply;
        if (!isdigit(line[0]) || !isdigit(line[1]) || !isdigit(line[2]))
            continue;
        if (code < 0)
            code = atoi(line);
        if (line[3] != '-' && atoi(line) == code)
            return code;
    }
}

int wire_command(wire *w, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 2, format, arguments);
    va_end(arguments);
    memcpy(line + length, "\r\n", 2);
    return wire_write(w, line, length + 2) == 0 ? wire_reply(w) : -1;
}

void wire_close(wire *w)
{
    if (w->ssl != NULL)
        SSL_free(w->ssl);
    SSL_SESSION_free(w->session);
    if (w->fd >= 0)
        close(w->fd);
    w->ssl = NULL;
    w->session = NULL;
    w->fd = -1;
}

void complain(const char *format, ...)
{
    va_list arguments;

    if (atomic_fetch_add(&wire_errors, 1) >= COMPLAINTS_SHOWN)
        return;
    va_start(arguments, format);
    flockfile(stderr);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(arguments);
}

double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

double cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

long long size_in_bytes(const char *text)
{
    char *unit;
    long long size = strtoll(text, &unit, 10);
    switch (toupper(*unit)) {
    case 'G':
        return size << 30;
    case 'M':
        return size << 20;
    case 'K':
        return size << 10;
    default:
        return size;
    }
}

void fill_with_noise(char *bytes, size_t count)
{
    unsigned state = 12345;
    for (size_t i = 0; i < count; i++) {
        state = state * 1103515245u + 12345u;
        bytes[i] = (char)(state >> 16);
    }
}

samples samples_for(long capacity)
{
    return (samples){.values = calloc(capacity, sizeof(double)), .capacity = capacity};
}

void sample(samples *s, double seconds)
{
    long place = atomic_fetch_add(&s->count, 1);
    if (place < s->capacity)
        s->values[place] = seconds;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double percentile_ms(samples *s, double part)
{
    long count = s->count < s->capacity ? s->count : s->capacity;
    if (count == 0)
        return 0;
    qsort(s->values, count, sizeof(double), ascending);
    long place = (long)(count * part);
    return s->values[place < count ? place : count - 1] * 1e3;
}
