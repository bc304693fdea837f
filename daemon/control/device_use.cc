#include "daemon/control/device_use.h"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "daemon/control/file.h"

namespace holdfast::daemon {

namespace {

constexpr std::size_t kProcBytesMax = 4 * 1024 * 1024;

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (!line.empty()) {
        const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
        if (end > 0) words.push_back(line.substr(0, end));
        line.remove_prefix(std::min(end + 1, line.size()));
    }
    return words;
}

/// True for the device itself and its partitions: /dev/ublkb0, /dev/ublkb0p1.
bool is_device_or_part(std::string_view path, std::string_view device) {
    if (!path.starts_with(device)) return false;
    const std::string_view rest = path.substr(device.size());
    return rest.empty() || (rest.starts_with('p') && rest.size() > 1);
}

/// Calls `each` with the words of every line of a file under /proc until it gives a use.
template <class Each>
std::optional<std::string> first_use(const std::string& path, Each each) {
    const auto text = read_file(path, kProcBytesMax);
    std::string_view rest = text ? std::string_view{*text} : std::string_view{};
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        if (auto use = each(words_of(rest.substr(0, end)))) return use;
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return {};
}

std::optional<std::string> holder_of(const std::string& device) {
    const std::string name = device.substr(device.rfind('/') + 1);
    std::error_code error;
    const std::filesystem::directory_iterator holders{
        fmt::format("/sys/class/block/{}/holders", name), error};
    if (error) return {};
    for (const auto& holder : holders)
        return fmt::format("{} stands on it", holder.path().filename().string());
    return {};
}

}  // namespace

std::optional<std::string> use_of_device(const std::string& device) {
    using Words = std::vector<std::string_view>;
    auto use = first_use("/proc/swaps", [&](const Words& words) -> std::optional<std::string> {
        if (words.empty() || !is_device_or_part(words[0], device)) return {};
        return "it is a swap area";
    });
    if (use) return use;
    use = first_use("/proc/self/mounts", [&](const Words& words) -> std::optional<std::string> {
        if (words.size() < 2 || !is_device_or_part(words[0], device)) return {};
        return fmt::format("it is mounted on {}", words[1]);
    });
    if (use) return use;
    return holder_of(device);
}

}  // namespace holdfast::daemon
