#include "reserve/lockdown.h"

#include <dirent.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "base/assert.h"
#include "base/errno.h"
#include "reserve/fuse.h"
#include "reserve/kernel_file.h"
#include "reserve/lock_memory.h"
#include "reserve/memory_map.h"
#include "reserve/number_text.h"

// Linux 5.6; in <sys/prctl.h> from glibc 2.32.
static_assert(PR_SET_IO_FLUSHER == 57);

namespace holdfast::reserve {

namespace {

constexpr std::int64_t kOomScoreNever = -1000;  // OOM_SCORE_ADJ_MIN: never chosen as a victim.

// What PR_SET_IO_FLUSHER sets, include/linux/sched.h: allocations of the task do not start I/O, and
// its writes are throttled only by the device that it serves itself.
constexpr std::uint64_t kTaskNoIo = 0x0008'0000;           // PF_MEMALLOC_NOIO
constexpr std::uint64_t kTaskLocalThrottle = 0x0010'0000;  // PF_LOCAL_THROTTLE
constexpr std::uint64_t kIoFlusher = kTaskNoIo | kTaskLocalThrottle;

using Text = FixedString<31>;

// Joins what fits.
Text text_of(std::initializer_list<std::string_view> parts) noexcept {
    Text text;
    for (const std::string_view part : parts) {
        if (!text.try_append(part)) break;
    }
    return text;
}

Protection memory_row() noexcept {
    const auto facts = measure_memory();
    constexpr std::string_view kAdvice =
        "give CAP_IPC_LOCK, or raise the memlock limit (LimitMEMLOCK=infinity)";
    if (!facts) return protection("memory locked", "all of it", "not readable", false, kAdvice);
    const std::uint64_t loose_kib = (facts->loose + facts->absent).raw() / 1024;
    const Text found = text_of({NumberText{facts->locked.raw() / 1024}.view(), " KiB, loose ",
                                NumberText{loose_kib}.view()});
    return protection("memory locked", "all of it", found.view(),
                      loose_kib == 0 && facts->locked > ByteCount{}, kAdvice);
}

Protection stack_row() noexcept {
    std::size_t fixed_bytes = 0;
    std::uintptr_t guard_end = 0;  // Where the last mapping without access ended.
    StackRun run;
    MappingReader reader;
    if (reader.open()) {
        while (const auto mapping = reader.next()) {
            if (!mapping->has_access()) guard_end = mapping->end;
            run.take(*mapping);
            if (mapping->is_stack() && guard_end == run.range().start)
                fixed_bytes = run.range().bytes();
        }
    }
    const bool holds = fixed_bytes > 0;
    const Text found = holds ? text_of({NumberText{fixed_bytes / 1024}.view(), " KiB, fixed"})
                             : text_of({"may grow"});
    return protection("main stack", "cannot grow", found.view(), holds,
                      "locking memory failed before the stack could be guarded");
}

Protection scheduling_row(const LockdownWish& wish) noexcept {
    const Text wanted = text_of({"SCHED_FIFO ", NumberText{wish.fifo_priority}.view()});
    // The kernel reports a pending reset-on-fork flag in the same word.
    const int policy = ::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    sched_param parameter{};
    const bool known = ::sched_getparam(0, &parameter) == 0;
    const bool fifo = known && policy == SCHED_FIFO;
    const Text found = fifo ? text_of({"SCHED_FIFO ", NumberText{parameter.sched_priority}.view()})
                            : text_of({"policy ", NumberText{policy}.view()});
    return protection("scheduling", wanted.view(), found.view(), found == wanted,
                      "give CAP_SYS_NICE or an rtprio limit; on cgroup v1 also cpu.rt_runtime_us");
}

// The flags of one thread of ours: field 9 of its stat file. The name in field 2 may contain
// anything, so fields are counted from the last closing bracket.
std::optional<std::uint64_t> task_flags(std::string_view task) noexcept {
    FixedString<63> path;
    if (!path.try_append("/proc/self/task/") || !path.try_append(task)) return {};
    if (!path.try_append(std::string_view{"/stat\0", 6})) return {};
    std::array<char, 1024> cells{};
    const auto stat = read_kernel_file(path.view().data(), cells);
    if (!stat) return {};
    const std::size_t bracket = stat->rfind(')');
    if (bracket == std::string_view::npos) return {};
    std::string_view rest = stat->substr(bracket + 1);
    for (int field = 3; field < 9; ++field) {
        rest = without_leading_blanks(rest);
        rest.remove_prefix(std::min(rest.find(' '), rest.size()));
    }
    rest = without_leading_blanks(rest);
    return try_take_number<std::uint64_t>(rest);
}

// How many threads of the process lack the flags, kernel-made io_uring workers included; -1 when
// that cannot be read. A widely used library set this on the wrong thread for years.
int threads_without_io_flusher() noexcept {
    DIR* const tasks = ::opendir("/proc/self/task");
    if (tasks == nullptr) return -1;
    int lacking = 0;
    while (const dirent* const entry = ::readdir(tasks)) {
        const std::string_view task{&entry->d_name[0]};
        if (task.starts_with('.')) continue;
        const auto flags = task_flags(task);
        if (!flags || (*flags & kIoFlusher) != kIoFlusher) ++lacking;
    }
    ::closedir(tasks);
    return lacking;
}

Protection io_flusher_row() noexcept {
    const int lacking = threads_without_io_flusher();
    const Text found = lacking == 0 ? text_of({"every thread"})
                                    : text_of({NumberText{lacking}.view(), " threads without"});
    return protection("IO_FLUSHER", "every thread", found.view(), lacking == 0,
                      "give CAP_SYS_RESOURCE; needs Linux 5.6");
}

Protection number_row(std::string_view name, const char* path, std::int64_t wanted,
                      std::string_view advice) noexcept {
    const auto found = read_kernel_number(path);
    return protection(name, NumberText{wanted}.view(),
                      found ? NumberText{*found}.view() : "not readable", found && *found == wanted,
                      advice);
}

Protection prctl_row(std::string_view name, int option, int wanted,
                     std::string_view advice) noexcept {
    const int found = ::prctl(option, 0, 0, 0, 0);
    return protection(name, NumberText{wanted}.view(), NumberText{found}.view(), found == wanted,
                      advice);
}

Protection fuse_row() noexcept {
    const bool fitted = fuse::is_fitted();
    return protection("allocation fuse", "in the heap", fitted ? "in the heap" : "not in the heap",
                      fitted, "link reserve_heap; a build with a sanitizer has no fuse");
}

// Refusals show in the rows, which are read from the kernel; so the answers are of no use here.
void set_all(const LockdownWish& wish) noexcept {
    (void)::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    (void)write_kernel_number(wish.oom_score_path, kOomScoreNever);
    // After the score: a process that is not dumpable has its /proc files owned by root.
    (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (wish.forbid_compaction) (void)write_kernel_number(wish.compaction_path, 0);
    if (wish.io_flusher) (void)::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    if (wish.fifo_priority > 0) {
        const sched_param parameter{.sched_priority = wish.fifo_priority};
        (void)::sched_setscheduler(0, SCHED_FIFO, &parameter);
    }
    // Last: reading the mappings may be slow, and whatever the lines above touched is present now.
    if (wish.lock_memory) (void)lock_memory(wish.sparse);
}

}  // namespace

Protections read_back(const LockdownWish& wish) noexcept {
    HF_ASSERT(wish.fifo_priority >= 0 && wish.fifo_priority <= 99);
    Protections rows;
    rows.push(fuse_row());
    if (wish.lock_memory) {
        rows.push(memory_row());
        rows.push(stack_row());
    }
    if (wish.fifo_priority > 0) rows.push(scheduling_row(wish));
    if (wish.io_flusher) rows.push(io_flusher_row());
    rows.push(
        number_row("oom_score_adj", wish.oom_score_path, kOomScoreNever, "give CAP_SYS_RESOURCE"));
    if (wish.forbid_compaction) {
        rows.push(number_row("compact_unevictable_allowed", wish.compaction_path, 0,
                             "write 0 to vm.compact_unevictable_allowed as root"));
    }
    rows.push(prctl_row("huge pages off", PR_GET_THP_DISABLE, 1, "needs Linux 3.15"));
    rows.push(prctl_row("core dumps", PR_GET_DUMPABLE, 0, "the kernel refused PR_SET_DUMPABLE"));
    return rows;
}

Protections lock_down(const LockdownWish& wish) noexcept {
    set_all(wish);
    return read_back(wish);
}

}  // namespace holdfast::reserve
