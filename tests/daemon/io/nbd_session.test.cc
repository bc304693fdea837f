#include "daemon/io/nbd_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace holdfast::daemon {
namespace {

constexpr std::uint16_t kTags = 8;
constexpr std::uint32_t kPiece = 8192;
constexpr std::uint64_t kDisk = 1 << 20;

using Bytes = std::vector<std::byte>;

Bytes make(std::size_t room, auto&& write) {
    Bytes bytes(room);
    ByteWriter writer{bytes};
    write(writer);
    bytes.resize(writer.used_bytes());
    return bytes;
}

Bytes operator+(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

Bytes client_flags(std::uint32_t flags = 3) {
    return make(8, [&](ByteWriter& w) { w.be32(flags); });
}

Bytes option(std::uint32_t number, const Bytes& data = {}) {
    return make(16 + data.size(), [&](ByteWriter& w) {
        w.be64(nbd::kOptionMagic);
        w.be32(number);
        w.be32(static_cast<std::uint32_t>(data.size()));
        w.bytes(data);
    });
}

Bytes go_data(std::string_view name) {
    return make(64 + name.size(), [&](ByteWriter& w) {
        w.be32(static_cast<std::uint32_t>(name.size()));
        w.text(name);
        w.be16(1);
        w.be16(3);
    });
}

Bytes request(nbd::Command command, std::uint64_t cookie, std::uint64_t offset,
              std::uint32_t length, std::uint16_t flags = 0) {
    return make(28, [&](ByteWriter& w) {
        w.be32(nbd::kRequestMagic);
        w.be16(flags);
        w.be16(static_cast<std::uint16_t>(command));
        w.be64(cookie);
        w.be64(offset);
        w.be32(length);
    });
}

struct Reply {
    std::uint32_t error = 0;
    std::uint64_t cookie = 0;
};

/// A session in front of a disk in memory. Work is done at once, unless held back.
class World {
public:
    explicit World(bool read_only = false) {
        unit_.size = kDisk;
        unit_.piece_max = kPiece;
        unit_.bulk_max = 64 * 1024;
        unit_.can_trim = unit_.can_write_zeroes = true;
        unit_.read_only = read_only;
        EXPECT_TRUE(unit_.name.try_assign("disk"));
        session_.start(unit_, table_, 2);
        pump();
    }
    /// Hands the bytes in, at most `step` at a time.
    void feed(const Bytes& bytes, std::size_t step = 1 << 20) {
        for (std::size_t at = 0; at < bytes.size();) {
            std::array<std::span<std::byte>, NbdSession::kRxSpansMax> room;
            std::size_t filled = 0;
            for (const auto& span : session_.rx_spaces(room)) {
                const std::size_t count =
                    std::min({span.size(), step - filled, bytes.size() - at - filled});
                std::memcpy(span.data(), std::span{bytes}.subspan(at + filled).data(), count);
                filled += count;
            }
            if (filled == 0) return;
            at += filled;
            pump();  // Work may end and answers go out while a receive is outstanding.
            session_.rx_filled(filled);
            pump();
        }
    }
    void pump() {
        for (bool moved = true; moved;) {
            moved = false;
            while (!hold_) {
                const auto work = table_.poll_work();
                if (!work) break;
                moved = true;
                session_.on_work_done(work->tag, perform(*work));
            }
            std::array<std::span<const std::byte>, NbdSession::kTxSpansMax> room;
            for (const auto& span : session_.tx_spans(room)) {
                const auto part = span.first(std::min(span.size(), send_step_));
                out_.insert(out_.end(), part.begin(), part.end());
                session_.tx_sent(part.size());
                moved = true;
                break;  // The list is stale after tx_sent().
            }
            if (session_.is_stalled() && table_.free_count() > 0) session_.resume();
        }
    }
    std::uint32_t perform(const NbdWork& work) {
        works_.push_back(work);
        if (fail_with_ != 0) return fail_with_;
        const auto buffer = table_.buffer(work.tag);
        if (work.kind == initiator::RequestKind::Read)
            std::memcpy(buffer.data(), std::span{disk_}.subspan(work.offset).data(), work.bytes);
        if (work.kind == initiator::RequestKind::Write)
            std::memcpy(std::span{disk_}.subspan(work.offset).data(), buffer.data(), work.bytes);
        if (work.kind == initiator::RequestKind::WriteZeroes)
            std::memset(std::span{disk_}.subspan(work.offset).data(), 0, work.bytes);
        return 0;
    }
    void negotiate() {
        feed(client_flags() + option(7, go_data("disk")));
        EXPECT_FALSE(session_.wants_close());
        out_.clear();
    }
    Reply take_reply() {
        if (out_.size() < 16) {
            ADD_FAILURE() << "no reply";
            return {};
        }
        ByteReader reader{out_};
        EXPECT_EQ(reader.try_be32(), nbd::kReplyMagic);
        const Reply reply{.error = *reader.try_be32(), .cookie = *reader.try_be64()};
        out_.erase(out_.begin(), out_.begin() + 16);
        return reply;
    }
    /// The option and the type of the next option reply; its data is dropped.
    std::pair<std::uint32_t, std::uint32_t> take_option_reply() {
        ByteReader reader{out_};
        EXPECT_EQ(reader.try_be64(), nbd::kOptionReplyMagic);
        const auto number = reader.try_be32().value_or(0);
        const auto type = reader.try_be32().value_or(0);
        const auto bytes = reader.try_be32().value_or(0);
        out_.erase(out_.begin(), out_.begin() + 20 + bytes);
        return {number, type};
    }

    NbdUnit unit_;
    Bytes buffers_ = Bytes(std::size_t{kTags} * kPiece);
    NbdTable table_{kTags, buffers_};
    NbdSession session_;
    Bytes disk_ = Bytes(kDisk, std::byte{0x5a});
    Bytes out_;
    std::vector<NbdWork> works_;
    bool hold_ = false;
    std::uint32_t fail_with_ = 0;
    std::size_t send_step_ = 1 << 20;
};

std::uint32_t type_of(nbd::OptionReply reply) {
    return static_cast<std::uint32_t>(reply);
}

// Goal: the greeting is the one of the protocol.
TEST(NbdSession, GreetsFirst) {
    World world;
    ASSERT_EQ(world.out_.size(), 18U);
    ByteReader reader{world.out_};
    EXPECT_EQ(reader.try_be64(), nbd::kGreetingMagic);
    EXPECT_EQ(reader.try_be64(), nbd::kOptionMagic);
    EXPECT_EQ(reader.try_be16(), 3);
}

// Goal: GO tells size, flags and block sizes, then requests are served.
TEST(NbdSession, GoLeadsToTransmission) {
    World world;
    world.out_.clear();
    world.feed(client_flags() + option(7, go_data("disk")));
    EXPECT_EQ(world.take_option_reply(), std::pair(7U, type_of(nbd::OptionReply::Info)));
    EXPECT_EQ(world.take_option_reply(), std::pair(7U, type_of(nbd::OptionReply::Info)));
    EXPECT_EQ(world.take_option_reply(), std::pair(7U, type_of(nbd::OptionReply::Ack)));
    world.feed(request(nbd::Command::Flush, 42, 0, 0));
    EXPECT_EQ(world.take_reply().cookie, 42U);
}

// Goal: EXPORT_NAME without NO_ZEROES gets its padding, and a wrong name is hung up on.
TEST(NbdSession, OldWayIn) {
    World world;
    world.out_.clear();
    world.feed(client_flags(1) + option(1));
    EXPECT_EQ(world.out_.size(), 10U + 124U);
    World wrong;
    wrong.feed(client_flags() + option(1, Bytes(3, std::byte{'x'})));
    EXPECT_TRUE(wrong.session_.wants_close());
    EXPECT_TRUE(wrong.session_.was_broken());
}

// Goal: LIST names the export; unknown options, wrong names and huge options are refused and the
// negotiation goes on.
TEST(NbdSession, RefusalsKeepTheNegotiationAlive) {
    World world;
    world.out_.clear();
    world.feed(client_flags() + option(3) + option(8) + option(7, go_data("other")) +
               option(7, Bytes(3)) + option(8, Bytes(100'000)) + option(6, go_data("")));
    using enum nbd::OptionReply;
    EXPECT_EQ(world.take_option_reply(), std::pair(3U, type_of(Server)));
    EXPECT_EQ(world.take_option_reply(), std::pair(3U, type_of(Ack)));
    EXPECT_EQ(world.take_option_reply(), std::pair(8U, type_of(Unsupported)));
    EXPECT_EQ(world.take_option_reply(), std::pair(7U, type_of(Unknown)));
    EXPECT_EQ(world.take_option_reply(), std::pair(7U, type_of(Invalid)));
    EXPECT_EQ(world.take_option_reply(), std::pair(8U, type_of(TooBig)));
    EXPECT_EQ(world.take_option_reply(), std::pair(6U, type_of(Info)));
    EXPECT_FALSE(world.session_.wants_close());
}

// Goal: an abort is acknowledged before the connection goes.
TEST(NbdSession, AbortIsAcknowledged) {
    World world;
    world.out_.clear();
    world.feed(client_flags() + option(2));
    EXPECT_EQ(world.take_option_reply(), std::pair(2U, type_of(nbd::OptionReply::Ack)));
    EXPECT_TRUE(world.session_.wants_close());
    EXPECT_FALSE(world.session_.was_broken());
}

// Goal: the same bytes at every step size give the same disk and the same answers, with data that
// spans several tags.
TEST(NbdSession, EverySplitGivesTheSame) {
    Bytes data(3 * kPiece);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7);
    const Bytes stream = client_flags() + option(7, go_data("disk")) +
                         request(nbd::Command::Write, 1, 512, 3 * kPiece) + data +
                         request(nbd::Command::Read, 2, 512, 3 * kPiece) +
                         request(nbd::Command::Trim, 3, 0, 512, nbd::kFlagFua);
    Bytes expected;
    for (const std::size_t step :
         {1UL << 20, 1UL, 2UL, 3UL, 7UL, 27UL, 28UL, 29UL, 511UL, 8193UL}) {
        World world;
        world.send_step_ = step;
        world.feed(stream, step);
        if (expected.empty()) expected = world.out_;
        EXPECT_EQ(world.out_, expected) << step;
        EXPECT_EQ(std::memcmp(std::span{world.disk_}.subspan(512).data(), data.data(), data.size()),
                  0)
            << step;
        EXPECT_EQ(world.table_.free_count(), kTags);
    }
}

// Goal: every illegal request gets its error, the payload of a refused write is thrown away, and
// the connection lives.
TEST(NbdSession, IllegalRequestsGetTheirErrors) {
    struct Case {
        nbd::Command command;
        std::uint64_t offset;
        std::uint32_t length;
        std::uint16_t flags;
        std::uint32_t error;
    };
    using enum nbd::Command;
    const std::vector<Case> cases{
        {Read, 0, 0, 0, nbd::kInvalid},
        {Read, 1, 512, 0, nbd::kInvalid},
        {Read, 0, 513, 0, nbd::kInvalid},
        {Read, kDisk, 512, 0, nbd::kInvalid},
        {Read, ~0ULL - 511, 512, 0, nbd::kInvalid},
        {Read, 0, kPiece * (kTags + 1), 0, nbd::kInvalid},
        {Read, 0, 512, 1U << 4, nbd::kInvalid},
        {Write, kDisk - 512, 1024, 0, nbd::kNoSpace},
        {Trim, kDisk, 512, 0, nbd::kNoSpace},
        {static_cast<nbd::Command>(5), 0, 512, 0, nbd::kInvalid},
        {static_cast<nbd::Command>(999), 0, 512, 0, nbd::kInvalid},
    };
    World world;
    world.negotiate();
    std::uint64_t cookie = 100;
    for (const Case& item : cases) {
        world.feed(request(item.command, ++cookie, item.offset, item.length, item.flags));
        if (item.command == Write) world.feed(Bytes(item.length));
        const Reply reply = world.take_reply();
        EXPECT_EQ(reply.error, item.error) << cookie;
        EXPECT_EQ(reply.cookie, cookie);
    }
    EXPECT_TRUE(world.works_.empty());
    world.feed(request(Flush, 1, 0, 0));
    EXPECT_EQ(world.take_reply().error, 0U);
}

// Goal: a read-only unit takes no write of any kind.
TEST(NbdSession, ReadOnlyUnitTakesNoWrite) {
    World world{true};
    world.negotiate();
    world.feed(request(nbd::Command::Write, 1, 0, 512) + Bytes(512) +
               request(nbd::Command::WriteZeroes, 2, 0, 512));
    EXPECT_EQ(world.take_reply().error, nbd::kPermission);
    EXPECT_EQ(world.take_reply().error, nbd::kPermission);
    EXPECT_TRUE(world.works_.empty());
}

// Goal: bulk requests go out in pieces within the limit, and FUA is a flush at their end.
TEST(NbdSession, BulkRequestsGoInPieces) {
    World world;
    world.negotiate();
    world.feed(
        request(nbd::Command::WriteZeroes, 1, 0, 160 * 1024, nbd::kFlagFua | nbd::kFlagNoHole));
    ASSERT_EQ(world.works_.size(), 4U);
    EXPECT_EQ(world.works_[2].bytes, 32U * 1024);
    EXPECT_EQ(world.works_[2].offset, 128U * 1024);
    EXPECT_FALSE(world.works_[0].may_unmap);
    EXPECT_EQ(world.works_[3].kind, initiator::RequestKind::Flush);
    EXPECT_EQ(world.take_reply().error, 0U);
}

// Goal: without free tags a request waits, whole, and goes on when tags come back.
TEST(NbdSession, RequestWaitsForAllItsTags) {
    World world;
    world.negotiate();
    world.hold_ = true;
    world.feed(request(nbd::Command::Read, 1, 0, kPiece * 6) +
               request(nbd::Command::Read, 2, 0, kPiece * 3));
    EXPECT_TRUE(world.session_.is_stalled());
    EXPECT_EQ(world.table_.free_count(), 2);
    world.hold_ = false;
    world.pump();
    EXPECT_EQ(world.out_.size(), 16U + kPiece * 6 + 16 + kPiece * 3);
    EXPECT_EQ(world.table_.free_count(), kTags);
}

// Goal: a write that waited for tags while a receive was outstanding loses no byte.
TEST(NbdSession, PayloadThatBeganBehindAReceive) {
    World world;
    world.negotiate();
    world.hold_ = true;
    world.feed(request(nbd::Command::Read, 1, 0, kPiece * kTags));
    const Bytes data(kPiece, std::byte{0x77});
    world.feed(request(nbd::Command::Write, 2, 0, kPiece));
    ASSERT_TRUE(world.session_.is_stalled());
    std::array<std::span<std::byte>, NbdSession::kRxSpansMax> room;
    const auto spaces = world.session_.rx_spaces(room);
    ASSERT_EQ(spaces.size(), 1U);
    std::memcpy(spaces[0].data(), data.data(), data.size());
    world.hold_ = false;
    world.pump();
    ASSERT_FALSE(world.session_.is_stalled());
    world.session_.rx_filled(data.size());
    world.pump();
    EXPECT_EQ(std::memcmp(world.disk_.data(), data.data(), data.size()), 0);
    EXPECT_EQ(world.table_.free_count(), kTags);
}

// Goal: an error of the unit reaches the client, and a failed read sends no data.
TEST(NbdSession, UnitErrorsReachTheClient) {
    World world;
    world.negotiate();
    world.fail_with_ = nbd::kIo;
    world.feed(request(nbd::Command::Read, 9, 0, kPiece * 2));
    EXPECT_EQ(world.take_reply().error, nbd::kIo);
    EXPECT_TRUE(world.out_.empty());
}

// Goal: a client that leaves in the middle of everything leaves no tag behind.
TEST(NbdSession, AbandonedClientLeavesNothing) {
    World world;
    world.negotiate();
    world.hold_ = true;
    world.feed(request(nbd::Command::Read, 1, 0, kPiece * 2) +
               request(nbd::Command::Trim, 2, 0, 256 * 1024) +
               request(nbd::Command::Write, 3, 0, kPiece * 2) + Bytes(100));
    world.session_.abandon();
    EXPECT_FALSE(world.session_.is_over());
    world.hold_ = false;
    world.pump();
    EXPECT_TRUE(world.session_.is_over());
    EXPECT_EQ(world.table_.free_count(), kTags);
    world.session_.start(world.unit_, world.table_, 2);
    EXPECT_FALSE(world.session_.wants_close());
}

// Goal: after a disconnect the answers under way still go out, then the connection goes.
TEST(NbdSession, DisconnectWaitsForAnswers) {
    World world;
    world.negotiate();
    world.hold_ = true;
    world.feed(request(nbd::Command::Read, 1, 0, 512) + request(nbd::Command::Disconnect, 0, 0, 0));
    EXPECT_FALSE(world.session_.wants_close());
    world.hold_ = false;
    world.pump();
    EXPECT_EQ(world.out_.size(), 16U + 512U);
    EXPECT_TRUE(world.session_.wants_close());
}

}  // namespace
}  // namespace holdfast::daemon
