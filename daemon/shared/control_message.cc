#include "daemon/shared/control_message.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>

#include "base/assert.h"

namespace holdfast::daemon {

namespace {

/// Enough and aligned for one SCM_RIGHTS block of kMessageFdsMax descriptors.
struct AncillaryRoom {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kMessageFdsMax)> bytes{};
};

std::expected<MessageHeader, MessageError> header_from(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < sizeof(MessageHeader)) return std::unexpected{MessageError::Size};
    MessageHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.magic != MessageHeader::kMagic) return std::unexpected{MessageError::Magic};
    if (header.version != MessageHeader::kVersion) return std::unexpected{MessageError::Version};
    if (static_cast<std::uint16_t>(header.kind) >= kMessageKindCount)
        return std::unexpected{MessageError::Kind};
    return header;
}

bool fields_are_known(const ControlMessage& message) noexcept {
    const auto level = static_cast<std::uint8_t>(message.log_level);
    return static_cast<std::uint8_t>(message.reason) < kFailReasonCount &&
           level >= static_cast<std::uint8_t>(LogLevel::Error) &&
           level <= static_cast<std::uint8_t>(LogLevel::Debug) && message.hurry <= 1 &&
           message.host.size() <= message.host.capacity() &&
           message.address.size() <= message.address.capacity();
}

void attach_fds(msghdr& message, std::span<const int> fds) noexcept {
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    HF_ASSERT(head != nullptr);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
}

/// Takes ownership of every descriptor that came; the kernel cuts what has no room.
void take_fds(msghdr& message, Received& received) noexcept {
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) return;
    const std::size_t payload_bytes = head->cmsg_len - CMSG_LEN(0);
    std::array<int, kMessageFdsMax> raw{};
    const std::size_t count = payload_bytes / sizeof(int);
    HF_ASSERT(count <= raw.size());  // The room we gave the kernel holds no more.
    std::memcpy(raw.data(), CMSG_DATA(head), count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) received.fds[i] = UniqueFd{raw[i]};
}

}  // namespace

std::expected<ControlMessage, MessageError> control_message_from(
    std::span<const std::byte> bytes) noexcept {
    const auto header = header_from(bytes);
    if (!header) return std::unexpected{header.error()};
    if (header->kind == MessageKind::Attach) return std::unexpected{MessageError::Kind};
    if (bytes.size() != sizeof(ControlMessage)) return std::unexpected{MessageError::Size};
    ControlMessage message;
    std::memcpy(&message, bytes.data(), sizeof(message));
    if (!fields_are_known(message)) return std::unexpected{MessageError::Field};
    return message;
}

std::expected<AttachBytes, MessageError> attach_bytes_from(
    std::span<const std::byte> bytes) noexcept {
    const auto header = header_from(bytes);
    if (!header) return std::unexpected{header.error()};
    if (header->kind != MessageKind::Attach) return std::unexpected{MessageError::Kind};
    if (bytes.size() != sizeof(AttachMessage)) return std::unexpected{MessageError::Size};
    constexpr std::size_t kSpecAt = offsetof(AttachMessage, spec);
    return AttachBytes{.header = *header, .spec = bytes.subspan(kSpecAt, sizeof(AttachSpec))};
}

std::optional<MessageKind> kind_of(std::span<const std::byte> bytes) noexcept {
    const auto header = header_from(bytes);
    if (!header) return {};
    return header->kind;
}

OrErrno<void> send_message(int socket, std::span<const std::byte> message,
                           std::span<const int> fds) noexcept {
    HF_ASSERT(fds.size() <= kMessageFdsMax);
    HF_ASSERT(!message.empty());
    // sendmsg only reads, but its interface has no const.
    iovec piece{.iov_base = const_cast<std::byte*>(message.data()), .iov_len = message.size()};
    AncillaryRoom room;
    msghdr head{};
    head.msg_iov = &piece;
    head.msg_iovlen = 1;
    if (!fds.empty()) {
        head.msg_control = room.bytes.data();
        head.msg_controllen = room.bytes.size();
        attach_fds(head, fds);
    }
    if (::sendmsg(socket, &head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return std::unexpected{Errno::last()};
    return {};
}

OrErrno<Received> receive_message(int socket, std::span<std::byte> room) noexcept {
    AncillaryRoom ancillary;
    iovec piece{.iov_base = room.data(), .iov_len = room.size()};
    msghdr head{};
    head.msg_iov = &piece;
    head.msg_iovlen = 1;
    head.msg_control = ancillary.bytes.data();
    head.msg_controllen = ancillary.bytes.size();
    const ssize_t got = ::recvmsg(socket, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return std::unexpected{Errno::last()};
    Received received;
    take_fds(head, received);
    if ((head.msg_flags & MSG_TRUNC) != 0) return std::unexpected{Errno{EMSGSIZE}};
    received.bytes = static_cast<std::size_t>(got);
    return received;
}

}  // namespace holdfast::daemon
