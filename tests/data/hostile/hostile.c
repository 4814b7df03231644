/* hostile.c: a model with many faults, of which each copy of the library has one: tests/hostile.py writes its
 * name over BAKED and says what must come of it. Without a fault y is the time. The parameter "fault" chooses another
 * one for a run. `got` becomes 1 where something forbidden was possible. MIT license. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"

static volatile const char BAKED[40] = "FAULT=                                 ";

static volatile int sink;

/* ---- crashes ---- */

static int segfault(M *m) { return *(volatile int *)8; }
static int aborts(M *m) { abort(); }
static int illegal(M *m) { __builtin_trap(); }
static int overflow(M *m) { volatile char room[1 << 16]; room[0] = 1; return overflow(m) + room[0]; }
static int jump(M *m) { ((void (*)(void))(uintptr_t)64)(); return 0; }
static int exit0(M *m) { exit(0); }
static int exit0_at_once(M *m) { _exit(0); }
static void *crash(void *m) { sink = *(volatile int *)8; return NULL; }
static int crash_in_thread(M *m) {
    pthread_t thread;
    if (!pthread_create(&thread, NULL, crash, NULL)) pthread_join(thread, NULL);
    return fmi2OK;
}
static int null(M *m) { return fmi2Fatal; }
static int scribble(M *m) { /* over everything behind it on the heap */
    for (volatile char *p = (volatile char *)m;; p++) *p = 'x';
}

/* ---- hangs ---- */

static int loop(M *m) { for (;;) sink++; }
static int sleeps(M *m) { for (;;) sleep(1000); }
static int deaf(M *m) {
    for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    return loop(m);
}
static int deadlock(M *m) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    pthread_mutex_lock(&lock);
    return fmi2OK;
}
static void tick(int number) { sink++; }
static int timer(M *m) {
    signal(SIGALRM, tick);
    return setitimer(ITIMER_REAL, &(struct itimerval){{0, 100}, {0, 100}}, NULL), fmi2OK;
}
static void late(int number) { loop(NULL); }
static int spin_later(M *m) { /* when nobody looks at its loading any more */
    signal(SIGALRM, late);
    return setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 300000}}, NULL), fmi2OK;
}
static void *spin(void *m) { for (;;) sink++; }
static void begin_to_spin(void) { pthread_t t; pthread_create(&t, NULL, spin, NULL); }
static int spin_in_child(M *m) { return pthread_atfork(NULL, NULL, begin_to_spin), fmi2OK; }
static int spin_in_thread(M *m) { pthread_t t; return pthread_create(&t, NULL, spin, NULL), fmi2OK; }

/* ---- memory ---- */

static int eat(M *m) {
    for (;;) {
        char *bite = malloc(1 << 20);
        if (!bite) return fmi2Error;
        memset(bite, 1, 1 << 20);
        __asm__ volatile("" : : "r"(bite) : "memory");
    }
}
static int eat_and_crash(M *m) { eat(m); return segfault(m); }
static int eat_for_ever(M *m) { for (;;) eat(m); }
static int map_100gb(M *m) {
    void *p = mmap(NULL, 100ull << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return m->got = p != MAP_FAILED, fmi2OK;
}
static int malloc_100gb(M *m) {
    void *p = malloc(100ull << 30);
    __asm__ volatile("" : : "r"(p) : "memory");
    return m->got = p != NULL, fmi2OK;
}

/* ---- processes ---- */

static int fork_bomb(M *m) { /* twice as many each time, until there can be no more; then they only stay */
    for (int i = 0; i < 10000; i++) {
        if (fork() >= 0) continue;
        if (!m) sleeps(m);
        return fmi2OK;
    }
    return m->got = 1, fmi2OK;
}
static int fork_and_eat(M *m) { /* each has an address space of its own to fill */
    for (int i = 0; i < 6; i++)
        if (fork() == 0) { eat(m); sleeps(m); }
    return sleeps(m);
}
static int daemonize(M *m) {
    pid_t child = fork();
    if (child > 0) { if (m) m->got = 1; waitpid(child, NULL, 0); }
    if (child == 0) {
        setsid();
        if (fork() == 0) sleeps(m);
        _exit(0);
    }
    return fmi2OK;
}
static int raw_vfork(M *m) {
#ifdef SYS_vfork
    long child = syscall(SYS_clone, SIGCHLD | 0x4000, 0, 0, 0, 0); /* CLONE_VFORK without a shared stack */
#else
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
    if (child == 0) _exit(0);
    return m->got = child > 0, fmi2OK;
}
static int raw_clone3(M *m) {
    uint64_t arguments[8] = {0, 0, 0, 0, SIGCHLD};
    long child = syscall(435, arguments, sizeof arguments);
    if (child == 0) _exit(0);
    return m->got = child > 0, fmi2OK;
}
static int executes(M *m) {
    execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
    return fmi2OK;
}
static int thread_bomb(M *m) {
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 16);
    int n = 0;
    while (n < 10000 && !pthread_create(&thread, &small, (void *(*)(void *))(void *)sleeps, NULL)) n++;
    return m->got = n > 1000, fmi2OK;
}

/* ---- floods, forged frames, Python ---- */

static int flood(M *m, FILE *where) {
    for (int i = 0; i < 200000; i++) fputs("0123456789012345678901234567890123456789012345678\n", where);
    return fflush(where), fmi2OK;
}
static int flood_stdout(M *m) { return flood(m, stdout); }
static int flood_stderr(M *m) { return flood(m, stderr); }
static void say(M *m, int status, const char *text) { m->call.logger(m->environment, "h", status, "c", text); }
static int flood_logger(M *m) { for (int i = 0; i < 20000; i++) say(m, fmi2Warning, "again and again"); return fmi2OK; }
static int long_message(M *m) {
    static char text[1 << 20];
    memset(text, 'x', sizeof text - 1);
    return say(m, fmi2Error, text), fmi2Error;
}
static int percent_n(M *m) { return say(m, fmi2Error, "%n%s%s%s%n%n%s%n"), fmi2Error; }
static int percent_in_error(M *m) { return say(m, fmi2Error, "100%"), fmi2Error; }
static int controls(M *m) { return say(m, fmi2Error, "\033[2J\r\n<script>\xff\xfe\xe2\x80\xae"), fmi2Error; }
static int null_message(M *m) { return say(m, fmi2Error, NULL), fmi2Error; }

static void send_all(const void *what, size_t size) {
    for (int fd = 3; fd < 64; fd++) sink = write(fd, what, size);
}
static int forge(M *m, const char *header, size_t more) {
    char raw[8192] = {0};
    uint32_t length = strlen(header);
    memcpy(raw, &length, 4);
    memcpy(raw + 4, header, length);
    return send_all(raw, 4 + length + more), fmi2OK;
}
static int flood_channel(M *m) { char junk[4096]; memset(junk, 0, sizeof junk); for (;;) send_all(junk, sizeof junk); }
static int forge_few_rows(M *m) { return forge(m, "{\"rows\": 3}", 72), _exit(0), 0; }
static int forge_and_go_on(M *m) { return forge(m, "{\"rows\": 3}", 72); }
static int forge_many_rows(M *m) { return forge(m, "{\"rows\": 99999999999}", 72), _exit(0), 0; }
static int forge_no_rows(M *m) { return forge(m, "{\"rows\": -1}", 72), _exit(0), 0; }
static int forge_no_json(M *m) { return forge(m, "{\"rows\": ", 72), _exit(0), 0; }
static int forge_deep_json(M *m) {
    char deep[4000];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = 0;
    return forge(m, deep, 0), _exit(0), 0;
}
static int forge_surrogate(M *m) { return forge(m, "{\"error\": \"\\ud800 half a letter\"}", 0), _exit(0), 0; }
static int forge_error_number(M *m) { return forge(m, "{\"error\": [1, {\"a\": null}], \"memory\": 7}", 0), _exit(0), 0; }
static int forge_error_and_stay(M *m) { forge(m, "{\"error\": \"forged\"}", 0); return loop(m); }
static int half_frame(M *m) { return forge(m, "{\"rows\": 11}", 50), _exit(0), 0; }
static int half_frame_and_hang(M *m) { return forge(m, "{\"rows\": 11}", 50), loop(m); }
static int long_header(M *m) { uint32_t n = UINT32_MAX; return send_all(&n, 4), loop(m); }
static int hello_again(M *m) { return send_all("\1\1\1\1", 4), fmi2OK; }
static int close_all(M *m) { for (int fd = 0; fd < 64; fd++) close(fd); return fmi2OK; }

static void python(const char *code) {
    int (*ensure)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "PyGILState_Ensure");
    void (*release)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "PyGILState_Release");
    int (*run)(const char *) = (int (*)(const char *))dlsym(RTLD_DEFAULT, "PyRun_SimpleString");
    if (!ensure || !run || !release) return;
    int state = ensure();
    run(code);
    release(state);
}
static int patch_frames(M *m) {
    return python("import os\nfrom gateway.simulation import frame\n"
                  "frame.write = lambda to, *a: os.write(to, b'x' * 1000)"), fmi2OK;
}
static int patch_values(M *m) { /* one value fewer than announced */
    return python("from gateway.simulation import frame\nwrite = frame.write\n"
                  "frame.write = lambda to, header, columns=(): write(to, header, [c[:-1] for c in columns])"), fmi2OK;
}
static int patch_exit(M *m) { return python("import os\nos._exit = lambda *a: None"), fmi2OK; }
static int patch_exit_and_hang(M *m) {
    return python("import os, time\nos._exit = lambda *a: time.sleep(1000)"), fmi2OK;
}
static int patch_zygote_silent(M *m) { return python("import socket, time\nsocket.recv_fds = lambda *a: time.sleep(1000)"), 0; }
static int patch_zygote_full(M *m) { return python("import os\ndef fork(): raise OSError(11, 'full')\nos.fork = fork"), fmi2OK; }
static int patch_zygote_dead(M *m) { return python("import os\nos.fork = None"), fmi2OK; }
static int patch_zygote_liar(M *m) { /* reports the end of runs that nobody began, and of none that ended */
    return python("import json\nold = json.loads\njson.loads = lambda raw: {'id': 4711}"), fmi2OK;
}
static int patch_zygote_flood(M *m) { /* the same, and as many as it can */
    return python("import socket\nold = socket.recv_fds\ndef recv_fds(control, *a):\n"
                  "    for i in range(20000): control.send(b'{\"id\": 4711, \"status\": 0, \"cpu\": 0, \"rss\": 0}')\n"
                  "    return old(control, *a)\nsocket.recv_fds = recv_fds"), fmi2OK;
}
static int costs(const char *seconds) { /* as it says of its runs */
    char code[400];
    snprintf(code, sizeof code, "from gateway.simulation import zygote\nold = zygote._ended\n"
             "class Usage: ru_utime, ru_stime, ru_maxrss = %s, 0.0, 0\n"
             "zygote._ended = lambda: ((pid, status, Usage) for pid, status, _ in old())", seconds);
    return python(code), fmi2OK;
}
static int patch_zygote_mute(M *m) { /* reports the end of no run */
    return python("from gateway.simulation import zygote\nzygote._ended = lambda: ()"), fmi2OK;
}
static int patch_zygote_cheap(M *m) { return costs("0.0"); }
static int patch_zygote_dear(M *m) { return costs("900000.0"); }
static int patch_zygote_filter(M *m) { /* its runs then have the zygote's rights, not a run's */
    return python("from gateway.simulation import sandbox\nsandbox.filter_system_calls = lambda *a: None\n"
                  "sandbox.limit = lambda **k: None"), fmi2OK;
}
static int forge_hello(M *m) {
    const char *said = "{\"failed\": null}";
    return send_all(said, strlen(said)), loop(m);
}
static int forge_hello_and_die(M *m) {
    const char *said = "{\"failed\": null}";
    return send_all(said, strlen(said)), _exit(0), 0;
}
static int forge_hello_missing(M *m) { /* as if it were not confined */
    const char *said = "{\"missing\": [\"landlock: <b>pay elsewhere</b>\"]}";
    return send_all(said, strlen(said)), fmi2OK;
}
static int forge_hello_shape(M *m) { return send_all("[1, 2]", 6), loop(m); }
static int forge_hello_junk(M *m) { return send_all("\xff\xfe", 2), loop(m); }
static int forge_hello_types(M *m) {
    const char *said = "{\"failed\": [null, {\"missing\": 7}]}";
    return send_all(said, strlen(said)), loop(m);
}
static int flood_control(M *m) { for (int i = 0; i < 100000; i++) send_all("{\"id\": 1}", 9); return fmi2OK; }

/* ---- files ---- */

static char *place(const char *relative) { /* seen from the folder of this FMU */
    static char path[4096];
    Dl_info here;
    dladdr((void *)place, &here);
    snprintf(path, sizeof path, "%s/../../../%s", here.dli_fname, relative);
    return path;
}
static int opens(const char *path, int flags) {
    int fd = open(path, flags, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}
static int fill(const char *path) { /* without end, if it may */
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    static char block[1 << 16];
    for (int i = 0; fd >= 0 && i < 1600; i++) if (write(fd, block, sizeof block) <= 0) return 0;
    return fd >= 0;
}
#define ATTEMPT(name, possible) static int name(M *m) { m->got = (possible); return fmi2OK; }
ATTEMPT(write_beside, opens(place("mine"), O_CREAT | O_WRONLY))
ATTEMPT(write_itself, opens(place("modelDescription.xml"), O_WRONLY))
ATTEMPT(truncate_itself, !truncate(place("modelDescription.xml"), 0))
ATTEMPT(remove_itself, !unlink(place("modelDescription.xml")))
ATTEMPT(open_itself_to_all, !chmod(place("modelDescription.xml"), 0777))
ATTEMPT(fill_tmp, fill("/tmp/hostile"))
ATTEMPT(fill_shm, fill("/dev/shm/hostile"))
ATTEMPT(make_memfd, syscall(SYS_memfd_create, "hostile", 0) >= 0)
ATTEMPT(make_shm, shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600) >= 0)
ATTEMPT(link_out, !symlink("/etc", place("etc")))
ATTEMPT(make_pipe, !mkfifo(place("pipe"), 0600))
ATTEMPT(make_folder, !mkdir(place("folder"), 0700))
ATTEMPT(read_passwd, opens("/etc/passwd", O_RDONLY))
ATTEMPT(read_database, opens(place("../secret"), O_RDONLY))
ATTEMPT(list_workspace, opens(place(".."), O_RDONLY | O_DIRECTORY))
ATTEMPT(list_root, opens("/", O_RDONLY | O_DIRECTORY))
ATTEMPT(path_only, opens("/root", O_PATH) && opens("/root/.ssh", O_RDONLY))
static int of_parent(const char *what) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", getppid(), what);
    return opens(path, O_RDONLY) || opens("/proc/1/environ", O_RDONLY) || opens("/proc/1/mem", O_RDWR);
}
ATTEMPT(read_environ, of_parent("environ"))
ATTEMPT(read_memory, of_parent("mem") || opens("/proc/self/mem", O_RDWR))
static int peek(void) {
    char here[8];
    struct iovec mine = {here, 8}, theirs = {(void *)(uintptr_t)0x400000, 8};
    return process_vm_readv(getppid(), &mine, 1, &theirs, 1, 0) >= 0 || errno != EPERM;
}
ATTEMPT(read_memory_directly, peek())
static int open_many(M *m) { int n = 0; while (n < 5000 && dup(1) >= 0) n++; return m->got = n > 1000, fmi2OK; }

/* ---- network ---- */

static int reaches(int family, int type, const void *address, socklen_t size) {
    int fd = socket(family, type, 0);
    return fd >= 0 && (!connect(fd, address, size) || errno == ECONNREFUSED);
}
static int tcp(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return reaches(AF_INET, SOCK_STREAM, &to, sizeof to);
}
static int abstract(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0hostile"};
    return reaches(AF_UNIX, SOCK_STREAM, &to, offsetof(struct sockaddr_un, sun_path) + 8);
}
ATTEMPT(tcp_loopback, tcp())
ATTEMPT(udp_socket, socket(AF_INET, SOCK_DGRAM, 0) >= 0)
ATTEMPT(abstract_socket, abstract())
ATTEMPT(netlink_socket, socket(AF_NETLINK, SOCK_RAW, 0) >= 0)
ATTEMPT(raw_socket, socket(AF_PACKET, SOCK_RAW, 0) >= 0)

/* ---- the kernel and other processes ---- */

ATTEMPT(trace, !ptrace(PTRACE_TRACEME, 0, NULL, NULL))
ATTEMPT(trace_parent, !ptrace(PTRACE_ATTACH, getppid(), NULL, NULL))
ATTEMPT(kill_parent, !kill(getppid(), SIGKILL))
ATTEMPT(kill_all, !kill(-1, SIGKILL))
ATTEMPT(kill_itself, !kill(getpid(), SIGKILL))
ATTEMPT(unshares, !syscall(SYS_unshare, 0x10000000))
ATTEMPT(io_uring, syscall(425, 1, (char[200]){0}) >= 0)
ATTEMPT(become_root, !setuid(0) && getuid() == 0)
ATTEMPT(mounts, !mount("none", "/mnt", "tmpfs", 0, NULL))
ATTEMPT(changes_root, !chroot("/proc"))
ATTEMPT(load_bpf, syscall(SYS_bpf, 0, (char[128]){0}, 128) >= 0)
ATTEMPT(keyring, syscall(SYS_keyctl, 0, -3, 1) >= 0)
ATTEMPT(perf_events, syscall(SYS_perf_event_open, (char[128]){0}, 0, -1, -1, 0) >= 0)
ATTEMPT(userfault, syscall(SYS_userfaultfd, 1) >= 0)
ATTEMPT(open_by_handle, syscall(SYS_open_by_handle_at, -100, (char[128]){8}, 0) >= 0 || errno != EPERM)
ATTEMPT(outlive, !prctl(PR_SET_PDEATHSIG, 0))
ATTEMPT(raise_limits, !setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}))
ATTEMPT(more_than_nice, !setpriority(PRIO_PROCESS, 0, -20))
ATTEMPT(real_time, !syscall(SYS_sched_setscheduler, 0, 1, (int[1]){1}))
ATTEMPT(type_for_others, !ioctl(0, TIOCSTI, "x"))
ATTEMPT(signal_by_fcntl, !fcntl(0, F_SETOWN, getppid()))
ATTEMPT(set_hostname, !sethostname("hostile", 7))
ATTEMPT(set_clock, !settimeofday(&(struct timeval){0, 0}, NULL))
static int other_abi(M *m) { /* the 32-bit door to the same kernel: getpid */
#ifdef __x86_64__
    long result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    m->got = result > 0;
    return fmi2OK;
#else
    return segfault(m);
#endif
}
static int x32_abi(M *m) { return m->got = syscall(0x40000000 | SYS_getpid) > 0, fmi2OK; }

/* ---- numbers and statuses ---- */

static int not_a_number(M *m) { m->y = NAN; return fmi2OK; }
static int infinite(M *m) { m->y = m->time > 0.75 ? -INFINITY : INFINITY; return fmi2OK; }
static int tiny(M *m) { m->y = -5e-324; return fmi2OK; }
static int warning(M *m) { return fmi2Warning; }
static int discard(M *m) { return fmi2Discard; }
static int error(M *m) { return fmi2Error; }
static int fatal(M *m) { return fmi2Fatal; }
static int pending(M *m) { return fmi2Pending; }
static int unknown_status(M *m) { return 99; }
static int negative_status(M *m) { return -1; }

/* ---- of the other interfaces, in others.c ---- */

static int overrun(M *m) { for (double *p = m->out;; p++) *p = 1; }
static int no_derivative(M *m) { return *m->out = NAN, fmi2OK; }
static int again(M *m) { return m->again = 1, fmi2OK; }
static int soon(M *m) { return m->next = m->time + 1e-5, fmi2OK; }
static int never(M *m) { return m->next = NAN, fmi2OK; }
static int early(M *m) { return m->early = 1, fmi2OK; }
static int ends_nowhere(M *m) { return m->last = NAN, m->ends = 1, fmi2OK; }

typedef struct { const char *name; When when; int (*act)(M *m); } Fault;

#define AT(when, name) {#name, when, name},
static const Fault FAULTS[] = {
    AT(STEP, segfault) AT(STEP, aborts) AT(STEP, illegal) AT(STEP, overflow) AT(STEP, jump) AT(STEP, exit0)
    AT(STEP, exit0_at_once) AT(STEP, crash_in_thread) AT(STEP, scribble)
    {"segfault_load", LOAD, segfault}, {"aborts_load", LOAD, aborts}, {"exit0_load", LOAD, exit0},
    {"exit0_at_once_load", LOAD, exit0_at_once}, {"segfault_instantiate", INSTANTIATE, segfault},
    {"exit0_instantiate", INSTANTIATE, exit0}, {"null_instantiate", INSTANTIATE, null}, {"exit0_init", INIT, exit0},
    {"segfault_get", GET, segfault},
    AT(STEP, loop) AT(STEP, sleeps) AT(STEP, deaf) AT(STEP, deadlock) AT(STEP, timer) AT(STEP, spin_in_thread)
    {"loop_load", LOAD, loop}, {"sleeps_load", LOAD, sleeps}, {"deaf_load", LOAD, deaf},
    {"loop_instantiate", INSTANTIATE, loop}, {"loop_get", GET, loop}, {"loop_terminate", TERMINATE, loop},
    {"loop_free", FREE, loop}, {"loop_unload", UNLOAD, loop}, {"segfault_free", FREE, segfault},
    {"spin_in_thread_load", LOAD, spin_in_thread}, {"timer_load", LOAD, timer},
    {"spin_later_load", LOAD, spin_later}, {"spin_in_child_load", LOAD, spin_in_child},
    AT(STEP, eat) AT(STEP, eat_and_crash) AT(STEP, eat_for_ever) AT(STEP, map_100gb) AT(STEP, malloc_100gb)
    {"eat_load", LOAD, eat}, {"eat_for_ever_load", LOAD, eat_for_ever}, {"eat_instantiate", INSTANTIATE, eat},
    AT(STEP, fork_bomb) AT(STEP, daemonize) AT(STEP, raw_vfork) AT(STEP, raw_clone3) AT(STEP, executes)
    AT(STEP, thread_bomb) {"fork_bomb_load", LOAD, fork_bomb}, {"daemonize_load", LOAD, daemonize},
    {"executes_load", LOAD, executes}, {"fork_and_eat_load", LOAD, fork_and_eat},
    AT(STEP, flood_stdout) AT(STEP, flood_stderr) AT(STEP, flood_logger) AT(STEP, long_message) AT(STEP, percent_n)
    AT(STEP, percent_in_error) AT(STEP, controls) AT(STEP, null_message) AT(STEP, flood_channel)
    AT(STEP, forge_few_rows) AT(STEP, forge_and_go_on) AT(STEP, forge_many_rows) AT(STEP, forge_no_rows)
    AT(STEP, forge_no_json) AT(STEP, forge_deep_json) AT(STEP, forge_surrogate) AT(STEP, forge_error_number)
    AT(STEP, forge_error_and_stay) AT(STEP, half_frame) AT(STEP, half_frame_and_hang) AT(STEP, long_header)
    AT(STEP, hello_again) AT(STEP, close_all) AT(STEP, patch_frames) AT(STEP, patch_values) AT(STEP, patch_exit)
    AT(STEP, patch_exit_and_hang) AT(LOAD, patch_zygote_silent) AT(LOAD, patch_zygote_dead) AT(LOAD, patch_zygote_full) AT(LOAD, patch_zygote_liar)
    AT(LOAD, patch_zygote_flood) AT(LOAD, patch_zygote_cheap) AT(LOAD, patch_zygote_mute) AT(LOAD, patch_zygote_dear)
    AT(LOAD, patch_zygote_filter) AT(LOAD, forge_hello) AT(LOAD, forge_hello_and_die) AT(LOAD, forge_hello_shape)
    AT(LOAD, forge_hello_junk) AT(LOAD, forge_hello_types) AT(LOAD, forge_hello_missing)
    AT(LOAD, flood_control)
    AT(STEP, write_beside) AT(STEP, write_itself) AT(STEP, truncate_itself) AT(STEP, remove_itself)
    AT(STEP, open_itself_to_all) AT(STEP, fill_tmp) AT(STEP, fill_shm) AT(STEP, make_memfd) AT(STEP, make_shm)
    AT(STEP, link_out) AT(STEP, make_pipe) AT(STEP, make_folder) AT(STEP, read_passwd) AT(STEP, read_database)
    AT(STEP, list_workspace) AT(STEP, list_root) AT(STEP, path_only) AT(STEP, read_environ) AT(STEP, read_memory)
    AT(STEP, read_memory_directly) AT(STEP, open_many) AT(STEP, tcp_loopback) AT(STEP, udp_socket)
    AT(STEP, abstract_socket) AT(STEP, netlink_socket) AT(STEP, raw_socket) AT(STEP, trace) AT(STEP, trace_parent)
    AT(STEP, kill_parent) AT(STEP, kill_all) AT(STEP, kill_itself) AT(STEP, unshares) AT(STEP, io_uring)
    AT(STEP, become_root) AT(STEP, mounts) AT(STEP, changes_root) AT(STEP, load_bpf) AT(STEP, keyring)
    AT(STEP, perf_events) AT(STEP, userfault) AT(STEP, open_by_handle) AT(STEP, outlive) AT(STEP, raise_limits)
    AT(STEP, more_than_nice) AT(STEP, real_time) AT(STEP, type_for_others) AT(STEP, signal_by_fcntl)
    AT(STEP, set_hostname) AT(STEP, set_clock) AT(STEP, other_abi) AT(STEP, x32_abi)
    AT(STEP, not_a_number) AT(STEP, infinite) AT(STEP, tiny) AT(STEP, warning) AT(STEP, discard) AT(STEP, error)
    AT(STEP, fatal) AT(STEP, pending) AT(STEP, unknown_status) AT(STEP, negative_status)
    {"error_setup", SETUP, error}, {"error_enter", ENTER, error}, {"error_init", INIT, error}, {"fatal_get", GET, fatal},
    {"discard_get", GET, discard}, {"warning_get", GET, warning},
    {"segfault_3", STEP, segfault}, {"loop_3", STEP, loop}, {"exit0_3", STEP, exit0}, {"overrun_3", GET, overrun},
    {"unknown_status_3", STEP, unknown_status}, {"early_3", STEP, early}, {"ends_nowhere_3", STEP, ends_nowhere},
    {"segfault_exchange", STEP, segfault}, {"exit0_exchange", STEP, exit0}, {"overrun_exchange", STEP, overrun},
    {"no_derivative_exchange", STEP, no_derivative}, {"error_exchange", STEP, error}, {"again_exchange", EVENT, again},
    {"soon_exchange", EVENT, soon}, {"never_exchange", EVENT, never},
    {"again_exchange3", EVENT, again}, {"no_derivative_exchange3", STEP, no_derivative},
};

int at(When when, M *m) {
    char name[sizeof BAKED] = {0};
    for (size_t i = 6; i < sizeof BAKED && BAKED[i] > ' '; i++) name[i - 6] = BAKED[i];
    if (m && m->fault[0]) strcpy(name, m->fault);
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++)
        if (FAULTS[i].when == when && !strcmp(FAULTS[i].name, name)) return FAULTS[i].act(m);
    return fmi2OK;
}

__attribute__((constructor)) static void load(void) { at(LOAD, NULL); }
__attribute__((destructor)) static void unload(void) { at(UNLOAD, NULL); }

/* ---- FMI 2.0, co-simulation: y and got are 0 and 1, fault is 2 ---- */

/* the prototypes are not needed: each function is found by its name */
const char *fmi2GetTypesPlatform(void) { return "default"; }
const char *fmi2GetVersion(void) { return "2.0"; }
fmi2Component fmi2Instantiate(fmi2String name, fmi2Type type, fmi2String guid, fmi2String resources,
                              const fmi2CallbackFunctions *functions, fmi2Boolean visible, fmi2Boolean logging) {
    M *m = calloc(1, sizeof *m);
    m->call = *functions;
    m->environment = functions->componentEnvironment;
    return at(INSTANTIATE, m) == fmi2OK ? m : NULL;
}
void fmi2FreeInstance(fmi2Component c) { at(FREE, c); free(c); }
fmi2Status fmi2Terminate(fmi2Component c) { return at(TERMINATE, c); }
fmi2Status fmi2SetDebugLogging(fmi2Component c, fmi2Boolean on, size_t n, const fmi2String categories[]) { return 0; }
fmi2Status fmi2SetupExperiment(fmi2Component c, fmi2Boolean given, fmi2Real tolerance, fmi2Real start,
                               fmi2Boolean stops, fmi2Real stop) { return at(SETUP, c); }
fmi2Status fmi2EnterInitializationMode(fmi2Component c) { return at(ENTER, c); }
fmi2Status fmi2ExitInitializationMode(fmi2Component c) { return at(INIT, c); }
fmi2Status fmi2Reset(fmi2Component c) { return fmi2OK; }
fmi2Status fmi2DoStep(fmi2Component c, fmi2Real time, fmi2Real step, fmi2Boolean final) {
    M *m = c;
    m->y = m->time = time + step;
    return m->time >= 0.5 ? at(STEP, m) : fmi2OK;
}
fmi2Status fmi2GetReal(fmi2Component c, const fmi2ValueReference vr[], size_t n, fmi2Real value[]) {
    M *m = c;
    for (size_t i = 0; i < n; i++) value[i] = vr[i] ? m->got : m->y;
    return m->time >= 0.5 ? at(GET, m) : fmi2OK;
}
fmi2Status fmi2GetString(fmi2Component c, const fmi2ValueReference vr[], size_t n, fmi2String value[]) {
    for (size_t i = 0; i < n; i++) value[i] = ((M *)c)->fault;
    return fmi2OK;
}
fmi2Status fmi2SetString(fmi2Component c, const fmi2ValueReference vr[], size_t n, const fmi2String value[]) {
    if (n && strlen(value[0]) < sizeof((M *)c)->fault) strcpy(((M *)c)->fault, value[0]);
    return fmi2OK;
}
fmi2Status fmi2GetBooleanStatus(fmi2Component c, const fmi2StatusKind kind, fmi2Boolean *value) {
    return *value = fmi2False, fmi2OK;
}
fmi2Status fmi2GetRealStatus(fmi2Component c, const fmi2StatusKind kind, fmi2Real *value) {
    return *value = NAN, fmi2OK;
}

/* What FMPy wants to find, and nobody calls. */
#define UNUSED(name) fmi2Status fmi2##name(void) { return fmi2Error; }
UNUSED(GetInteger) UNUSED(GetBoolean) UNUSED(SetReal) UNUSED(SetInteger) UNUSED(SetBoolean) UNUSED(GetFMUstate)
UNUSED(SetFMUstate) UNUSED(FreeFMUstate) UNUSED(SerializedFMUstateSize) UNUSED(SerializeFMUstate)
UNUSED(DeSerializeFMUstate) UNUSED(GetDirectionalDerivative) UNUSED(SetRealInputDerivatives)
UNUSED(GetRealOutputDerivatives) UNUSED(CancelStep) UNUSED(GetStatus) UNUSED(GetIntegerStatus) UNUSED(GetStringStatus)
