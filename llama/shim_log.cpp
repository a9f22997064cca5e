// The log ring, and what happens when llama.cpp ends the process.
#include "shim_internal.h"

#include "log.h"
#include "mtmd.h"

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#ifdef _WIN32
#include <io.h>
#define LX_OPEN(p) _open(p, _O_WRONLY | _O_CREAT | _O_APPEND | _O_BINARY, 0600)
#define LX_WRITE   _write
#define LX_CLOSE   _close
#else
#include <unistd.h>
#define LX_OPEN(p) open(p, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
#define LX_WRITE   write
#define LX_CLOSE   close
#endif

namespace {

// Beyond this many bytes the oldest records go: a log nobody drains must not grow.
constexpr size_t ring_bytes_max  = 256 * 1024;
constexpr size_t record_text_max = 4096;

struct log_record {
    uint8_t     level;
    std::string text;
};

struct log_ring {
    std::mutex             mutex;
    std::deque<log_record> records;
    size_t                 bytes = 0;
    int64_t                dropped = 0;
};

log_ring & ring() {
    static log_ring r;
    return r;
}

thread_local lx::log_capture * t_capture = nullptr;
thread_local bool t_guarded = false;
thread_local int  t_last_level = GGML_LOG_LEVEL_INFO;

char crash_path[4096];

void write_all(int fd, const char * text) {
    size_t n = std::strlen(text);
    while (n > 0) {
        const auto w = LX_WRITE(fd, text, (unsigned) n);
        if (w <= 0) {
            return;
        }
        text += w;
        n -= (size_t) w;
    }
}

// Only what is safe in a broken process: no allocation, no stdio, no lock.
void report_crash(const char * what, const char * message) {
    const char * parts[] = { "jeantrail-ai: llama.cpp stopped the process: ", what, message, "\n" };
    for (const char * p : parts) {
        write_all(2, p);
    }
    if (crash_path[0] == '\0') {
        return;
    }
    const int fd = LX_OPEN(crash_path);
    if (fd < 0) {
        return;
    }
    for (const char * p : parts) {
        write_all(fd, p);
    }
    LX_CLOSE(fd);
}

void on_ggml_abort(const char * message) {
    if (t_guarded) {
        throw lx::error(LX_E_EXCEPTION, std::string("assertion failed in llama.cpp: ") + message);
    }
    report_crash("", message);
}

[[noreturn]] void on_terminate() {
    report_crash("uncaught C++ exception", "");
    std::abort();
}

void on_log(ggml_log_level level, const char * text, void *) {
    try {
        if (level == GGML_LOG_LEVEL_CONT) {
            level = (ggml_log_level) t_last_level;
        } else {
            t_last_level = level;
        }
        if (level == GGML_LOG_LEVEL_DEBUG || level == GGML_LOG_LEVEL_NONE) {
            return;
        }
        if (t_capture != nullptr && level >= GGML_LOG_LEVEL_WARN && t_capture->lines.size() < record_text_max) {
            t_capture->lines += text;
        }
        log_record rec{ (uint8_t) level, std::string(text, strnlen(text, record_text_max)) };

        log_ring & r = ring();
        std::lock_guard<std::mutex> lock(r.mutex);
        r.bytes += rec.text.size();
        r.records.push_back(std::move(rec));
        while (r.bytes > ring_bytes_max) {
            r.bytes -= r.records.front().text.size();
            r.records.pop_front();
            r.dropped++;
        }
    } catch (...) { // out of memory: a log line is not worth more
    }
}

} // namespace

namespace lx {

std::string format(const char * fmt, ...) {
    char buf[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(buf, sizeof(buf), fmt, args);
    va_end(args);
    return buf;
}

log_capture::log_capture() : outer(t_capture) { t_capture = this; }
log_capture::~log_capture() { t_capture = outer; }

std::string log_capture::reason(const char * fallback) const {
    std::string out;
    size_t at = 0;
    while (at < lines.size()) {
        size_t end = lines.find('\n', at);
        end = end == std::string::npos ? lines.size() : end;
        if (end > at) {
            out += out.empty() ? "" : "; ";
            out.append(lines, at, end - at);
        }
        at = end + 1;
    }
    return out.empty() ? fallback : out;
}

assert_guard::assert_guard() : outer(t_guarded) { t_guarded = true; }
assert_guard::~assert_guard() { t_guarded = outer; }
void assert_guard::off() { t_guarded = false; }

std::mutex & global_mutex() {
    static std::mutex m;
    return m;
}

} // namespace lx

void lx_init(void) noexcept {
    static std::once_flag once;
    std::call_once(once, [] {
#ifdef _WIN32
        _putenv_s("GGML_NO_BACKTRACE", "1");
#else
        // ggml's own backtrace forks a debugger; a service must not.
        setenv("GGML_NO_BACKTRACE", "1", 1);
#endif
        std::set_terminate(on_terminate);
        ggml_set_abort_callback(on_ggml_abort);
        llama_log_set(on_log, nullptr);
        mtmd_log_set(on_log, nullptr);
        // llama-common logs through a thread of its own to stderr: nothing of it
        // is needed, its errors come as exceptions.
        common_log_set_verbosity_thold(-1);
        llama_backend_init();
    });
}

int32_t lx_set_crash_file(const char * path) noexcept {
    if (path == nullptr || std::strlen(path) >= sizeof(crash_path)) {
        return LX_E_ARG;
    }
    std::lock_guard<std::mutex> lock(lx::global_mutex());
    std::strcpy(crash_path, path);
    return LX_OK;
}

int32_t lx_log_drain(uint8_t * out, int32_t cap, int64_t * n_dropped) noexcept {
    log_ring & r = ring();
    std::lock_guard<std::mutex> lock(r.mutex);
    int32_t n = 0;
    while (!r.records.empty()) {
        const log_record & rec = r.records.front();
        const uint32_t len = (uint32_t) rec.text.size();
        if ((int64_t) n + 5 + len > cap) {
            break;
        }
        out[n] = rec.level;
        std::memcpy(out + n + 1, &len, 4);
        std::memcpy(out + n + 5, rec.text.data(), len);
        n += 5 + (int32_t) len;
        r.bytes -= len;
        r.records.pop_front();
    }
    *n_dropped = r.dropped;
    r.dropped = 0;
    return n;
}

int32_t lx_test_throw(int32_t kind, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        lx_init();
        lx::assert_guard guard;
        switch (kind) {
            case 0: throw std::runtime_error("thrown on purpose");
            case 1: throw 42;
            case 2: throw std::bad_alloc();
            case 3: GGML_ABORT("aborted on purpose"); // thrown: a guard is on
            case 4: throw lx::error(LX_E_ARG, "refused on purpose");
            default: break;
        }
    });
}

[[noreturn]] static void throw_int() { throw 42; }

void lx_test_crash(int32_t kind) noexcept {
    lx_init();
    if (kind == 0) {
        GGML_ABORT("crashed on purpose");
    }
    throw_int(); // out of a noexcept function: std::terminate
}
