/// holdfastd: the supervisor, which becomes an I/O process for each attachment.
///
///   holdfastd [--control PROGRAM] [--no-lockdown] [--watchdog-device PATH]
///             [options of holdfast-control]
///   holdfastd --measure
///   holdfastd --io-process FD
///
/// The second form prints what the image of a process takes, for `holdfast plan`. The third is how
/// the supervisor of another release starts an I/O process of this one (daemon/io/handover.h).
/// Everything else on the command line goes to holdfast-control.

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>

#include "daemon/io/handover.h"
#include "daemon/io/io_process.h"
#include "daemon/io/maker.h"
#include "daemon/io/supervisor.h"
#include "reserve/heap.h"
#include "reserve/process_plan.h"

namespace {

using namespace holdfast;

constexpr std::size_t kPathBytesMax = 512;

std::array<char, kPathBytesMax> own_path{};
std::array<char, kPathBytesMax> control_path{};
std::array<char, kPathBytesMax> loader_path{};
daemon::Maker maker;
std::optional<daemon::Supervisor> supervisor;

/// The programs that belong to us stand in the same folder as we do. False: the path is too long.
bool find_neighbour(std::string_view name, std::span<char, kPathBytesMax> path) {
    const ssize_t got = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
    if (got <= 0) return false;
    const std::string_view self{path.data(), static_cast<std::size_t>(got)};
    const std::size_t folder = self.rfind('/') + 1;
    if (folder + name.size() >= path.size()) return false;
    const auto rest = path.subspan(folder);
    name.copy(rest.data(), rest.size());
    rest[name.size()] = '\0';
    return true;
}

/// Text, constants, data, stack, sparse ranges: bytes, one line.
int print_image(const reserve::ImageFacts& image) {
    const std::array parts{image.text, image.constants, image.data, image.stack, image.sparse};
    std::array<char, 128> line{};
    std::span<char> rest{line};
    for (const ByteCount part : parts) {
        const auto end = std::to_chars(&rest.front(), &rest.back(), part.raw()).ptr;
        rest = rest.subspan(static_cast<std::size_t>(end - rest.data()));
        rest.front() = ' ';
        rest = rest.subspan(1);
    }
    const std::size_t bytes = line.size() - rest.size();
    line[bytes - 1] = '\n';
    return ::write(STDOUT_FILENO, line.data(), bytes) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/// An I/O process for a supervisor that may be of another release.
[[noreturn]] void become_io_process(std::string_view number, const reserve::ImageFacts& image) {
    int fd = -1;
    const auto end = std::from_chars(number.begin(), number.end(), fd);
    if (end.ec != std::errc{} || end.ptr != number.end()) ::_exit(daemon::kIoExitFailed);
    auto taken = daemon::take_handover(fd);
    if (!taken) ::_exit(daemon::kIoExitFailed);
    taken->inheritance.image = image;
    ::_exit(daemon::run_io_process(taken->spec, std::move(taken->inheritance)));
}

}  // namespace

int main(int argc, char** argv) {
    const auto sparse = reserve::heap::sparse_ranges();
    const auto image = reserve::measure_image(sparse);
    reserve::heap::limit(daemon::kHeapMore);
    // The one place where the C argument vector becomes a span.
    std::span<char*> words{argv, static_cast<std::size_t>(argc)};
    words = words.subspan(words.empty() ? 0 : 1);
    daemon::SupervisorOptions options;
    daemon::MakerPrograms programs;
    // Without /proc the plan shows the arena alone.
    if (image) programs.image = *image;
    if (find_neighbour("holdfast-control", control_path)) programs.control = control_path.data();
    const ssize_t own = ::readlink("/proc/self/exe", own_path.data(), own_path.size() - 1);
    if (own > 0) programs.own = own_path.data();
    if (find_neighbour("holdfast-loader", loader_path) && ::access(loader_path.data(), X_OK) == 0)
        programs.loader = loader_path.data();
    while (!words.empty()) {
        const std::string_view word{words.front()};
        if (word == "--measure") {
            return image ? print_image(*image) : EXIT_FAILURE;
        } else if (word == daemon::kIoProcessOption && words.size() > 1) {
            become_io_process(words[1], programs.image);
        } else if (word == "--no-lockdown") {
            options.lock_down = false;
            words = words.subspan(1);
        } else if (word == "--watchdog-device" && words.size() > 1) {
            options.watchdog_device = words[1];
            words = words.subspan(2);
        } else if (word == "--control" && words.size() > 1) {
            programs.control = words[1];
            words = words.subspan(2);
        } else {
            break;
        }
    }
    if (programs.control == nullptr) return EXIT_FAILURE;
    programs.control_arguments = words;
    programs.lock_down = options.lock_down;
    options.has_loader = programs.loader != nullptr;
    // Before there is a supervisor, whose memory is none of its business.
    if (!maker.start(programs)) return EXIT_FAILURE;
    supervisor.emplace(options, maker);
    return supervisor->run();
}
