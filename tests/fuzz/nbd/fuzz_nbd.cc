/// Throws bytes at an NBD session. The first byte chooses how they are cut, how much is sent at a
/// time, and when work is done; the rest is what the client sends. Whatever comes: no assert, no
/// access outside the buffers, and when the client has gone every tag is home.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "base/assert.h"
#include "daemon/io/nbd_session.h"

namespace {

using namespace holdfast;
using namespace holdfast::daemon;

constexpr std::uint16_t kTags = 4;
constexpr std::uint32_t kPieceBytes = 4096;
constexpr std::uint64_t kDiskBytes = 64 * 1024;

struct World {
    explicit World(std::uint8_t choice)
        : feed_step((choice & 3U) == 0 ? 1U : (choice & 3U) * 1000U),
          send_step((choice & 4U) != 0 ? 5U : 1U << 20),
          works_per_turn((choice & 8U) != 0 ? 1U : 100U) {
        unit.size = kDiskBytes;
        unit.piece_max = kPieceBytes;
        unit.bulk_max = 8192;
        unit.can_trim = unit.can_write_zeroes = (choice & 16U) == 0;
        unit.read_only = (choice & 32U) != 0;
        HF_ASSERT(unit.name.try_assign("disk"));
        session.start(unit, table, 1);
    }

    void check(const NbdWork& work) const {
        HF_ASSERT(work.tag < kTags);
        if (work.kind == initiator::RequestKind::Flush) return;
        HF_ASSERT(work.bytes > 0 && work.bytes <= kDiskBytes);
        HF_ASSERT(work.offset <= kDiskBytes - work.bytes);
        const bool reads = work.kind == initiator::RequestKind::Read;
        HF_ASSERT(reads || !unit.read_only);
    }

    void turn() {
        for (unsigned i = 0; i < works_per_turn; ++i) {
            const auto work = table.poll_work();
            if (!work) break;
            check(*work);
            session.on_work_done(work->tag, work->offset % 7 == 6 ? nbd::kIo : 0);
        }
        std::array<std::span<const std::byte>, NbdSession::kTxSpansMax> room;
        std::size_t sent = 0;
        for (const auto& span : session.tx_spans(room)) {
            for (const std::byte byte : span) sum += std::to_integer<unsigned>(byte);
            sent += span.size();
            if (sent >= send_step) break;
        }
        if (sent > 0) session.tx_sent(std::min<std::size_t>(sent, send_step));
        if (session.is_stalled() && table.free_count() > 0) session.resume();
    }

    /// False when the session takes nothing more.
    bool feed(std::span<const std::byte>& input) {
        std::array<std::span<std::byte>, NbdSession::kRxSpansMax> room;
        std::size_t filled = 0;
        for (const auto& span : session.rx_spaces(room)) {
            const std::size_t count = std::min({span.size(), feed_step - filled, input.size()});
            if (count > 0) std::memcpy(span.data(), input.data(), count);
            input = input.subspan(count);
            filled += count;
        }
        turn();  // While the receive is outstanding.
        if (filled > 0) session.rx_filled(filled);
        return filled > 0;
    }

    std::size_t feed_step;
    std::size_t send_step;
    unsigned works_per_turn;
    std::vector<std::byte> buffers = std::vector<std::byte>(std::size_t{kTags} * kPieceBytes);
    NbdUnit unit;
    NbdTable table{kTags, buffers};
    NbdSession session;
    unsigned sum = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    auto input = std::as_bytes(std::span{data, size});
    const auto world = std::make_unique<World>(data[0]);
    input = input.subspan(1);
    constexpr int kIdleTurnsMax = 200;
    for (int idle = 0; idle < kIdleTurnsMax && !world->session.wants_close();) {
        idle = world->feed(input) ? 0 : idle + 1;
        world->turn();
        if (input.empty() && idle > 20) break;
    }
    world->session.abandon();
    for (int i = 0; i < 200 && !world->session.is_over(); ++i) world->turn();
    HF_ASSERT(world->session.is_over());
    HF_ASSERT(world->table.free_count() == kTags);
    return 0;
}
