/* ftpload: sessions of an explicit-FTPS client, one blocking thread each. Prints one JSON line.
 *
 *   ftpload [-h ADDRESS] [-p PORT] [-u USER] [-w PASSWORD] [-t 12|13] [-r 0|1] [-x PREFIX] -m MODE -c SESSIONS -n COUNT ...
 *
 *   -m upload  -n COUNT -s SIZE    so many files of that size over SESSIONS sessions that log in before the clock starts
 *              -N MILLISECONDS     meanwhile each session sends a NOOP so often on its control connection
 *              -L                  meanwhile one more client logs in and out again and again
 *   -m login   -n COUNT -s SIZE    so many logins, each with one upload of that size (0: none) and QUIT
 *   -m idle    -n COUNT            so many sessions, logged in and silent until a line comes on standard input
 *
 * -r 0: data connections do not resume the control connection's TLS session. A file counts when its 226 has come.
 * upload with -G prints READY when all sessions are logged in, and waits for a line (the driver takes its readings). */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 256 << 10, MOST_SAMPLES = 1 << 20 };

static const char *user = "bench", *password = "bench", *mode = "upload", *prefix = "f";
static int port = 2121, sessions = 1, resume = 1, tls_version = 13, wait_for_go, probe_logins, noop_every;
static long count = 1;
static long long size = 1 << 20;

static SSL_CTX *context;
static char block[BLOCK];
static pthread_barrier_t start;
static atomic_long next_file, files, resumed;
static atomic_llong bytes;
static atomic_int uploads_running;
static samples latency, login_latency, noop_latency;
static char protocol[80];
static pthread_mutex_t protocol_mutex = PTHREAD_MUTEX_INITIALIZER;

static int is_positive(int code)
{
    return code >= 200 && code < 400;
}

static int ftp_login(wire *control)
{
    const char *step = "connect";

    if (wire_connect(control, port) != 0)
        strcpy(control->reply, strerror(errno));
    else if (step = "greeting", wire_reply(control) != 220)
        ;
    else if (step = "AUTH TLS", wire_command(control, "AUTH TLS") != 234)
        ;
    else if (step = "TLS handshake", wire_start_tls(control, context, NULL) != 0)
        ;
    else if (step = "USER", !is_positive(wire_command(control, "USER %s", user)))
        ;
    else if (step = "PASS", wire_command(control, "PASS %s", password) != 230)
        ;
    else if (step = "PBSZ", !is_positive(wire_command(control, "PBSZ 0")))
        ;
    else if (step = "PROT", !is_positive(wire_command(control, "PROT P")))
        ;
    else if (step = "TYPE", !is_positive(wire_command(control, "TYPE I")))
        ;
    else {
        pthread_mutex_lock(&protocol_mutex);
        snprintf(protocol, sizeof protocol, "%s %s", SSL_get_version(control->ssl), SSL_get_cipher(control->ssl));
        pthread_mutex_unlock(&protocol_mutex);
        return 0;
    }
    complain("%s: %s", step, control->reply);
    wire_close(control);
    return -1;
}

static void ftp_quit(wire *control)
{
    if (control->fd >= 0 && wire_command(control, "QUIT") == 221)
        SSL_shutdown(control->ssl);
    wire_close(control);
}

/* -- NOOP while an upload runs ----------------------------------------------------------------------------------- */

typedef struct {
    wire *control;
    atomic_int ended; /* the data connection is closed: stop after the answer that is awaited */
    int final; /* the upload's own reply, where it came in between; 0: not yet */
} pinger;

static void *ping(void *argument)
{
    pinger *p = argument;

    while (usleep(noop_every * 1000), !p->ended && p->final == 0) {
        double begun = now();
        if (wire_write(p->control, "NOOP\r\n", 6) != 0)
            break;
        int code = wire_reply(p->control);
        if (code == 226) { /* the upload ended first: the NOOP's answer follows */
            p->final = code;
            code = wire_reply(p->control);
        } else if (code != 200) { /* the upload failed */
            p->final = code;
            break;
        }
        if (code == 200)
            sample(&noop_latency, now() - begun);
    }
    return NULL;
}

/* -- one upload -------------------------------------------------------------------------------------------------- */

static int send_file(wire *data)
{
    for (long long left = size; left > 0; left -= BLOCK)
        if (wire_write(data, block, left < BLOCK ? left : BLOCK) != 0)
            return -1;
    return 0;
}

/* close_notify, FIN, then read to the end: closing with unread tickets would send RST and lose the tail. */
static void end_data(wire *data)
{
    char rest[4096];

    SSL_shutdown(data->ssl);
    shutdown(data->fd, SHUT_WR);
    while (read(data->fd, rest, sizeof rest) > 0)
        ;
}

static int ftp_upload(wire *control, const char *name)
{
    wire data = {.fd = -1};
    pinger p = {.control = control};
    pthread_t pinging;
    int sent = -1;

    if (wire_command(control, "EPSV") != 229) {
        complain("EPSV: %s", control->reply);
        return -1;
    }
    char *ports = strstr(control->reply, "|||");
    if (ports == NULL || wire_connect(&data, atoi(ports + 3)) != 0) {
        complain("data connection: %s", strerror(errno));
        return -1;
    }
    if (wire_command(control, "STOR %s", name) / 100 != 1) {
        complain("STOR: %s", control->reply);
        wire_close(&data);
        return -1;
    }
    if (wire_start_tls(&data, context, resume ? control : NULL) == 0) {
        atomic_fetch_add(&resumed, SSL_session_reused(data.ssl));
        if (noop_every)
            pthread_create(&pinging, NULL, ping, &p);
        sent = send_file(&data);
        if (sent == 0)
            end_data(&data);
        wire_close(&data);
        if (noop_every) {
            p.ended = 1;
            pthread_join(pinging, NULL);
        }
    }
    wire_close(&data);
    int code = p.final ? p.final : wire_reply(control);
    if (sent != 0 || code != 226) {
        complain("upload of %s %s: %s", name, sent ? "broke" : "was answered", control->reply);
        return -1;
    }
    atomic_fetch_add(&bytes, size);
    atomic_fetch_add(&files, 1);
    return 0;
}

/* -- the modes: one thread function each ------------------------------------------------------------------------- */

static void *uploading(void *unused)
{
    wire control;
    char name[128];
    int in = ftp_login(&control) == 0;

    (void)unused;
    pthread_barrier_wait(&start); /* all are logged in */
    pthread_barrier_wait(&start); /* the clock runs */
    for (long file; in && (file = atomic_fetch_add(&next_file, 1)) < count;) {
        double begun = now();
        snprintf(name, sizeof name, "%s%06ld.bin", prefix, file);
        if (ftp_upload(&control, name) != 0) {
            wire_close(&control);
            in = ftp_login(&control) == 0;
        }
        sample(&latency, now() - begun);
    }
    atomic_fetch_sub(&uploads_running, 1);
    if (in)
        ftp_quit(&control);
    return NULL;
}

static void *logging_in(void *unused)
{
    wire control;
    char name[128];

    (void)unused;
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&start);
    for (long login; (login = atomic_fetch_add(&next_file, 1)) < count;) {
        double begun = now();
        if (ftp_login(&control) != 0)
            continue;
        sample(&login_latency, now() - begun);
        snprintf(name, sizeof name, "%s%06ld.bin", prefix, login);
        if (size == 0)
            atomic_fetch_add(&files, 1);
        else
            ftp_upload(&control, name);
        ftp_quit(&control);
        sample(&latency, now() - begun);
    }
    return NULL;
}

static void *probing(void *unused)
{
    wire control;

    (void)unused;
    while (uploads_running > 0) {
        double begun = now();
        if (ftp_login(&control) == 0)
            sample(&login_latency, now() - begun);
        ftp_quit(&control);
        usleep(20000);
    }
    return NULL;
}

static wire *silent;

static void *idling(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&start);
    for (long session; (session = atomic_fetch_add(&next_file, 1)) < count;)
        if (ftp_login(&silent[session]) == 0)
            atomic_fetch_add(&files, 1);
    return NULL;
}

/* -- the program ------------------------------------------------------------------------------------------------- */

static void wait_for_line(void)
{
    char line[16];
    if (fgets(line, sizeof line, stdin) == NULL)
        return;
}

static void report(double seconds, double cpu)
{
    printf("{\"seconds\": %.4f, \"files\": %ld, \"errors\": %ld, \"bytes\": %lld, \"MBps\": %.1f, \"per_s\": %.1f, "
           "\"p50_ms\": %.2f, \"p95_ms\": %.2f, \"login_p95_ms\": %.2f, \"logins\": %ld, \"noop_p95_ms\": %.2f, "
           "\"noops\": %ld, \"resumed\": %ld, \"protocol\": \"%s\", \"client_cpu_s\": %.3f}\n",
           seconds, files, wire_errors, bytes, bytes / seconds / 1e6, files / seconds, percentile_ms(&latency, 0.5),
           percentile_ms(&latency, 0.95), percentile_ms(&login_latency, 0.95), login_latency.count,
           percentile_ms(&noop_latency, 0.95), noop_latency.count, resumed, protocol, cpu);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "h:p:u:w:m:c:n:s:r:t:x:N:LG")) != -1;)
        switch (option) {
        case 'h': wire_host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'u': user = optarg; break;
        case 'w': password = optarg; break;
        case 'm': mode = optarg; break;
        case 'c': sessions = atoi(optarg); break;
        case 'n': count = atol(optarg); break;
        case 's': size = size_in_bytes(optarg); break;
        case 'r': resume = atoi(optarg); break;
        case 't': tls_version = atoi(optarg); break;
        case 'x': prefix = optarg; break;
        case 'N': noop_every = atoi(optarg); break;
        case 'L': probe_logins = 1; break;
        case 'G': wait_for_go = 1; break;
        default: return 2;
        }
    int uploads = !strcmp(mode, "upload"), idles = !strcmp(mode, "idle");
    if (!uploads && !idles && strcmp(mode, "login"))
        return 2;

    context = wire_setup(tls_version);
    fill_with_noise(block, sizeof block);
    latency = samples_for(count);
    login_latency = samples_for(MOST_SAMPLES);
    noop_latency = samples_for(MOST_SAMPLES);
    silent = calloc(count, sizeof *silent);
    for (long i = 0; i < count; i++)
        silent[i].fd = -1;
    uploads_running = uploads ? sessions : 0;

    pthread_t threads[sessions], probe;
    pthread_barrier_init(&start, NULL, sessions + 1);
    for (int i = 0; i < sessions; i++)
        pthread_create(&threads[i], NULL, uploads ? uploading : idles ? idling : logging_in, NULL);
    pthread_barrier_wait(&start);
    if (wait_for_go) {
        puts("READY");
        fflush(stdout);
        wait_for_line();
    }
    double begun = now(), cpu = cpu_seconds();
    pthread_barrier_wait(&start);
    if (probe_logins)
        pthread_create(&probe, NULL, probing, NULL);
    for (int i = 0; i < sessions; i++)
        pthread_join(threads[i], NULL);
    double seconds = now() - begun;
    if (probe_logins)
        pthread_join(probe, NULL);
    report(seconds, cpu_seconds() - cpu);
    if (idles)
        wait_for_line();
    for (long i = 0; i < count; i++)
        wire_close(&silent[i]);
    return wire_errors ? 1 : 0;
}
