#include "reserve/kernel_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "base/assert.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

OrErrno<std::size_t> read_some(int fd, std::span<char> into) noexcept {
    ssize_t got = 0;
    do {
        got = ::read(fd, into.data(), into.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return std::unexpected(Errno::last());
    return static_cast<std::size_t>(got);
}

}  // namespace

OrErrno<std::string_view> read_kernel_file(const char* path, std::span<char> into) noexcept {
    const UniqueFd fd{::open(path, O_RDONLY | O_CLOEXEC)};
    if (!fd) return std::unexpected(Errno::last());
    std::size_t used = 0;
    while (used < into.size()) {
        const auto got = read_some(fd.get(), into.subspan(used));
        if (!got) return std::unexpected(got.error());
        if (*got == 0) break;
        used += *got;
    }
    std::string_view text{into.data(), used};
    while (text.ends_with('\n')) text.remove_suffix(1);
    return text;
}

OrErrno<void> write_kernel_file(const char* path, std::string_view text) noexcept {
    // O_TRUNC means nothing to the kernel's files; it is for the files that stand in for them.
    const UniqueFd fd{::open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)};
    if (!fd) return std::unexpected(Errno::last());
    const ssize_t put = ::write(fd.get(), text.data(), text.size());
    if (put < 0) return std::unexpected(Errno::last());
    if (static_cast<std::size_t>(put) != text.size()) return std::unexpected(Errno{EIO});
    return {};
}

OrErrno<std::int64_t> read_kernel_number(const char* path) noexcept {
    std::array<char, 64> cells{};
    const auto text = read_kernel_file(path, cells);
    if (!text) return std::unexpected(text.error());
    std::string_view rest = *text;
    const auto value = try_take_number<std::int64_t>(rest);
    if (!value || !rest.empty()) return std::unexpected(Errno{EINVAL});
    return *value;
}

OrErrno<void> write_kernel_number(const char* path, std::int64_t value) noexcept {
    return write_kernel_file(path, NumberText{value}.view());
}

OrErrno<std::uint64_t> read_kernel_field(const char* path, std::string_view key) noexcept {
    KernelLines lines;
    if (const auto opened = lines.open(path); !opened) return std::unexpected(opened.error());
    while (const auto line = lines.next()) {
        if (!line->starts_with(key) || !line->substr(key.size()).starts_with(':')) continue;
        std::string_view rest = without_leading_blanks(line->substr(key.size() + 1));
        const auto value = try_take_number<std::uint64_t>(rest);
        if (!value) return std::unexpected(Errno{EINVAL});
        return *value;
    }
    return std::unexpected(lines.error().value_or(Errno{ENOENT}));
}

OrErrno<void> KernelLines::open(const char* path) noexcept {
    fd_ = UniqueFd{::open(path, O_RDONLY | O_CLOEXEC)};
    if (!fd_) return std::unexpected(Errno::last());
    begin_ = end_ = 0;
    at_end_ = false;
    error_.reset();
    return {};
}

std::optional<std::string_view> KernelLines::next() noexcept {
    HF_ASSERT(fd_);
    for (;;) {
        const std::string_view have{std::span{cells_}.subspan(begin_).data(), end_ - begin_};
        const std::size_t newline = have.find('\n');
        if (newline != std::string_view::npos) {
            begin_ += newline + 1;
            return have.substr(0, newline);
        }
        const bool full = have.size() == cells_.size();
        if (full || (at_end_ && !have.empty())) {
            begin_ = end_;
            return have;
        }
        if (at_end_) return {};
        fill();
    }
}

void KernelLines::fill() noexcept {
    const std::span<char> cells{cells_};
    if (begin_ > 0) {
        const std::size_t kept = end_ - begin_;
        std::memmove(cells.data(), cells.subspan(begin_).data(), kept);
        begin_ = 0;
        end_ = kept;
    }
    HF_ASSERT(end_ < cells.size());
    const auto got = read_some(fd_.get(), cells.subspan(end_));
    if (!got) error_ = got.error();
    if (!got || *got == 0) {
        at_end_ = true;
        return;
    }
    end_ += *got;
}

}  // namespace holdfast::reserve
