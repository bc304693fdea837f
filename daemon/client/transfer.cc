#include "daemon/client/transfer.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/errno.h"
#include "daemon/client/progress.h"
#include "daemon/client/stream.h"

namespace holdfast::daemon {

namespace {

using initiator::Request;
using initiator::RequestKind;

OrFailure<void> write_all(int fd, std::span<const std::byte> data) {
    while (!data.empty()) {
        const ssize_t done = ::write(fd, data.data(), data.size());
        if (done < 0 && errno == EINTR) continue;
        if (done < 0)
            return fail(ExitCode::Failed, fmt::format("cannot write the output: {}; check its disk",
                                                      Errno::last().text()));
        data = data.subspan(static_cast<std::size_t>(done));
    }
    return {};
}

/// Keeps the session alive while a slow input makes us wait.
OrFailure<void> wait_for_input(UnitPort& port, int fd) {
    constexpr int kWaitMs = 200;
    pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
    while (::poll(&one, 1, kWaitMs) == 0) {
        if (const auto ran = port.run_once(Duration{}); !ran) return ran;
    }
    return {};
}

/// As many bytes as there are, up to all of `room`; fewer only at the end of the input.
OrFailure<std::size_t> read_full(UnitPort& port, int fd, std::span<std::byte> room) {
    std::size_t bytes = 0;
    while (bytes < room.size()) {
        if (const auto waited = wait_for_input(port, fd); !waited)
            return std::unexpected{waited.error()};
        const auto rest = room.subspan(bytes);
        const ssize_t got = ::read(fd, rest.data(), rest.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return fail(ExitCode::Failed, fmt::format("cannot read the input: {}; check the file",
                                                      Errno::last().text()));
        if (got == 0) break;
        bytes += static_cast<std::size_t>(got);
    }
    return bytes;
}

/// Puts a tail that fills no block over the block that is there.
OrFailure<void> write_tail(UnitPort& port, std::uint64_t address, std::span<const std::byte> tail) {
    const std::uint32_t block_bytes = port.facts().block_bytes;
    const auto block = port.buffer(0).first(block_bytes);
    Request request{.tag = 0,
                    .kind = RequestKind::Read,
                    .lba = Lba{address / block_bytes},
                    .blocks = BlockCount{1},
                    .data = block};
    if (const auto read = run_request(port, request, "reading the last block"); !read) return read;
    std::memcpy(block.data(), tail.data(), tail.size());
    request.kind = RequestKind::Write;
    return run_request(port, request, "writing the last block");
}

OrFailure<void> refuse_more_input(UnitPort& port, int fd, std::uint64_t room_bytes) {
    std::byte one{};
    const auto more = read_full(port, fd, std::span{&one, 1});
    if (!more) return std::unexpected{more.error()};
    if (*more == 0) return {};
    return fail(ExitCode::Failed,
                fmt::format("the input is longer than the {} bytes there are; those are written, "
                            "the rest is not",
                            room_bytes));
}

}  // namespace

OrFailure<std::uint64_t> read_to(UnitPort& port, const WantedRange& wanted, int fd) {
    const std::uint32_t block_bytes = port.facts().block_bytes;
    WantedRange rounded = wanted;
    if (wanted.length_bytes)
        rounded.length_bytes = (*wanted.length_bytes + block_bytes - 1) / block_bytes * block_bytes;
    const auto range = range_on(port.facts(), rounded, block_bytes);
    if (!range) return std::unexpected{range.error()};
    const std::uint64_t length = wanted.length_bytes.value_or(range->length_bytes);
    Progress progress{"reading", length};
    std::uint64_t done = 0;
    const auto copied =
        read_stream(port, *range, [&](std::span<const std::byte> data, std::uint64_t) {
            const auto counts =
                static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), length - done));
            done += counts;
            progress.at(done);
            return write_all(fd, data.first(counts));
        });
    if (!copied) return std::unexpected{copied.error()};
    return done;
}

OrFailure<std::uint64_t> write_from(UnitPort& port, const WantedRange& wanted, int fd) {
    const std::uint32_t block_bytes = port.facts().block_bytes;
    const auto range = range_on(port.facts(), wanted, block_bytes);
    if (!range) return std::unexpected{range.error()};
    Progress progress{"writing", wanted.length_bytes.value_or(0)};
    std::vector<std::byte> tail;
    std::uint64_t tail_address = 0;
    const auto given = write_stream(
        port, *range,
        [&](std::span<std::byte> room, std::uint64_t address) -> OrFailure<std::size_t> {
            const auto bytes = read_full(port, fd, room);
            if (!bytes) return bytes;
            const std::size_t whole = *bytes - *bytes % block_bytes;
            const auto rest = room.subspan(whole, *bytes - whole);
            tail.assign(rest.begin(), rest.end());
            tail_address = address + whole;
            progress.at(address + *bytes - range->offset_bytes);
            return bytes;
        });
    if (!given) return std::unexpected{given.error()};
    if (!tail.empty()) {
        if (const auto written = write_tail(port, tail_address, tail); !written)
            return std::unexpected{written.error()};
    }
    if (const auto flushed = flush(port); !flushed) return std::unexpected{flushed.error()};
    if (*given == range->length_bytes) {
        if (const auto over = refuse_more_input(port, fd, range->length_bytes); !over)
            return std::unexpected{over.error()};
    }
    return *given;
}

}  // namespace holdfast::daemon
