#include "daemon/shared/control_message.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/random.h"
#include "daemon/shared/shared_area.h"
#include "tests/daemon/shared/sample_spec.h"

namespace holdfast::daemon {
namespace {

struct Pair {
    Pair() {
        std::array<int, 2> raw{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw.data()), 0);
        left = UniqueFd{raw[0]};
        right = UniqueFd{raw[1]};
    }
    UniqueFd left;
    UniqueFd right;
};

// Goal: an Attached message brings the shared area and the socket; the area can be mapped and read.
TEST(ControlMessage, AttachedCarriesTheSharedArea) {
    Pair pair;
    const auto area = make_shared_area();
    ASSERT_TRUE(area);
    const ControlMessage message{
        .header = {.kind = MessageKind::Attached, .attachment = AttachmentId{7}, .request_id = 3},
        .pid = 99};
    const std::array<int, 2> fds{area->get(), pair.left.get()};
    ASSERT_TRUE(send_message(pair.left.get(), bytes_of(message), fds));
    std::array<std::byte, kMessageBytesMax> room{};
    const auto received = receive_message(pair.right.get(), room);
    ASSERT_TRUE(received);
    const auto copy = control_message_from(std::span{room}.first(received->bytes));
    ASSERT_TRUE(copy);
    EXPECT_EQ(copy->header.attachment, AttachmentId{7});
    EXPECT_EQ(copy->pid, 99);
    ASSERT_TRUE(received->fds[1]);
    EXPECT_NE(::fcntl(received->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
    const auto mapping = SharedMapping::map(received->fds[0].get());
    ASSERT_TRUE(mapping);
    StatusWriter{mapping->area().status}.publish(StatusFacts{});
    const auto other = SharedMapping::map(area->get());
    ASSERT_TRUE(other);
    EXPECT_TRUE(StatusReader{other->area().status}.try_read());
}

// Goal: a spec arrives as it was sent.
TEST(ControlMessage, AttachCarriesTheSpec) {
    AttachMessage message;
    message.header.request_id = 5;
    message.spec = sample_spec();
    EXPECT_EQ(kind_of(bytes_of(message)), MessageKind::Attach);
    const auto parts = attach_bytes_from(bytes_of(message));
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->header.request_id, 5U);
    const auto spec = attach_spec_from(parts->spec);
    ASSERT_TRUE(spec);
    EXPECT_EQ(spec->name.view(), "swap0");
}

// Goal: each broken field of a message is told from the others.
TEST(ControlMessage, EachKindOfNonsenseHasItsOwnError) {
    const ControlMessage good{.header = {.kind = MessageKind::Detach}};
    ASSERT_TRUE(control_message_from(bytes_of(good)));
    const auto error_of = [](const ControlMessage& message) {
        return control_message_from(bytes_of(message)).error();
    };
    ControlMessage bad = good;
    bad.header.magic = 0;
    EXPECT_EQ(error_of(bad), MessageError::Magic);
    bad = good;
    bad.header.version = 9;
    EXPECT_EQ(error_of(bad), MessageError::Version);
    bad = good;
    bad.header.kind = static_cast<MessageKind>(kMessageKindCount);
    EXPECT_EQ(error_of(bad), MessageError::Kind);
    bad = good;
    bad.header.kind = MessageKind::Attach;
    EXPECT_EQ(error_of(bad), MessageError::Kind);
    bad = good;
    bad.reason = static_cast<FailReason>(200);
    EXPECT_EQ(error_of(bad), MessageError::Field);
    bad = good;
    bad.hurry = 2;
    EXPECT_EQ(error_of(bad), MessageError::Field);
    bad = good;
    const auto put_size = [](auto& text) {  // Where the texts keep it.
        const std::size_t too_long = 256;
        const auto cells = std::as_writable_bytes(std::span{&text, 1});
        std::memcpy(cells.last(sizeof(too_long)).data(), &too_long, sizeof(too_long));
    };
    put_size(bad.host);
    EXPECT_EQ(error_of(bad), MessageError::Field);
    bad = good;
    put_size(bad.address);
    EXPECT_EQ(error_of(bad), MessageError::Field);
    EXPECT_EQ(control_message_from(bytes_of(good).first(40)).error(), MessageError::Size);
    EXPECT_EQ(control_message_from({}).error(), MessageError::Size);
}

// Goal: a peer that has gone is told from one that has nothing to say.
TEST(ControlMessage, ClosedPeerAndEmptySocketAreTold) {
    Pair pair;
    std::array<std::byte, kMessageBytesMax> room{};
    EXPECT_EQ(receive_message(pair.right.get(), room).error(), Errno{EAGAIN});
    pair.left.reset();
    const auto received = receive_message(pair.right.get(), room);
    ASSERT_TRUE(received);
    EXPECT_EQ(received->bytes, 0U);
    const ControlMessage message{.header = {.kind = MessageKind::Detach}};
    EXPECT_EQ(send_message(pair.right.get(), bytes_of(message)).error(), Errno{EPIPE});
}

// Goal: a peer that does not read cannot stop the sender.
TEST(ControlMessage, SendingNeverBlocks) {
    Pair pair;
    const ControlMessage message{.header = {.kind = MessageKind::Detach}};
    OrErrno<void> sent{};
    for (int i = 0; i < 100'000 && sent; ++i)
        sent = send_message(pair.left.get(), bytes_of(message));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), Errno{EAGAIN});
}

// Goal: a packet that is too long is refused, not cut.
TEST(ControlMessage, OversizedPacketIsRefusedWhole) {
    Pair pair;
    const std::vector<std::byte> large(kMessageBytesMax + 1);
    ASSERT_GT(::send(pair.left.get(), large.data(), large.size(), 0), 0);
    std::array<std::byte, kMessageBytesMax> room{};
    EXPECT_EQ(receive_message(pair.right.get(), room).error(), Errno{EMSGSIZE});
}

// Goal: a file that is not a sealed, formatted area is never mapped.
TEST(SharedArea, OtherFilesAreNotMapped) {
    UniqueFd plain{::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    EXPECT_EQ(SharedMapping::map(plain.get()).error(), Errno{EPROTO});
    ASSERT_EQ(::ftruncate(plain.get(), static_cast<off_t>(sizeof(SharedArea))), 0);
    EXPECT_EQ(SharedMapping::map(plain.get()).error(), Errno{EPROTO}) << "not sealed";
    ASSERT_EQ(::fcntl(plain.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
    EXPECT_EQ(SharedMapping::map(plain.get()).error(), Errno{EPROTO}) << "not formatted";
}

// Goal: nobody can shrink the area under a reader.
TEST(SharedArea, SizeIsSealed) {
    const auto fd = make_shared_area();
    ASSERT_TRUE(fd);
    EXPECT_NE(::ftruncate(fd->get(), 0), 0);
}

}  // namespace
}  // namespace holdfast::daemon
