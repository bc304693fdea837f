#include "daemon/io/nbd_export.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace holdfast::daemon {

namespace {

using initiator::Outcome;

constexpr int kBacklog = 8;
// One WRITE SAME or UNMAP covers no more: a target works on it within a command time-out.
constexpr std::uint64_t kBulkBytesMax = 64ULL * 1024 * 1024;

std::uint32_t error_of(Outcome outcome) noexcept {
    switch (outcome) {
    case Outcome::Done: return 0;
    case Outcome::NoSpace: return nbd::kNoSpace;
    case Outcome::ReadOnly:
    case Outcome::ReservationConflict: return nbd::kPermission;
    case Outcome::Unsupported: return nbd::kNotSupported;
    case Outcome::Gone: return nbd::kShutdown;
    case Outcome::MediumError:
    case Outcome::TargetFailure:
    case Outcome::TimedOut: return nbd::kIo;
    }
    return nbd::kIo;
}

template <class Byte>
msghdr message_of(std::span<const std::span<Byte>> spans, std::span<iovec> pieces) noexcept {
    HF_ASSERT(spans.size() <= pieces.size());
    std::size_t count = 0;
    for (const auto& span : spans)
        // iovec has no const; a send only reads.
        pieces[count++] = {.iov_base = const_cast<std::byte*>(span.data()), .iov_len = span.size()};
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    return message;
}

}  // namespace

OrErrno<UniqueFd> listen_for_nbd(std::string_view path) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path))
        return std::unexpected(Errno{ENAMETOOLONG});
    std::memcpy(&address.sun_path, path.data(), path.size());
    struct stat old{};
    if (::lstat(address.sun_path, &old) == 0 && S_ISSOCK(old.st_mode)) ::unlink(address.sun_path);

    UniqueFd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!listener) return std::unexpected(Errno::last());
    // The node that bind makes takes the socket's own mode.
    constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;
    const void* const raw = &address;
    if (::fchmod(listener.get(), kOwnerOnly) != 0 ||
        ::bind(listener.get(), static_cast<const sockaddr*>(raw), sizeof(address)) != 0 ||
        ::listen(listener.get(), kBacklog) != 0)
        return std::unexpected(Errno::last());
    return listener;
}

NbdExport::NbdExport(Driver& driver, RequestMeter& meter, const NbdOptions& options) noexcept
    : driver_(driver),
      meter_(meter),
      table_(options.depth, driver.buffers()),
      read_only_(options.read_only) {
    unit_.name.assign_cut(options.name);
    unit_.piece_max = options.request_bytes_max;
    path_.assign_cut(options.path);
    describe_unit();
}

void NbdExport::describe_unit() noexcept {
    const initiator::DeviceFacts& facts = driver_.facts();
    unit_.block = facts.block_bytes;
    unit_.size = facts.blocks * facts.block_bytes;
    const std::uint32_t physical = facts.block_bytes
                                   << std::min<int>(facts.physical_block_exponent, 3);
    unit_.preferred = std::clamp(physical, std::max(4096U, unit_.block), unit_.piece_max);
    if (facts.transfer_blocks_max != 0)
        unit_.piece_max = static_cast<std::uint32_t>(std::min<std::uint64_t>(
            unit_.piece_max, std::uint64_t{facts.transfer_blocks_max} * facts.block_bytes));
    unit_.read_only = read_only_ || facts.read_only;
    unit_.rotational = facts.rotational;
    unit_.can_trim = facts.can_unmap && facts.unmap_blocks_max != 0;
    unit_.can_write_zeroes = facts.can_write_same;
    std::uint64_t bulk_blocks = kBulkBytesMax / facts.block_bytes;
    if (unit_.can_trim) bulk_blocks = std::min<std::uint64_t>(bulk_blocks, facts.unmap_blocks_max);
    if (unit_.can_write_zeroes && facts.write_same_blocks_max != 0)
        bulk_blocks = std::min(bulk_blocks, facts.write_same_blocks_max);
    unit_.bulk_max = bulk_blocks * facts.block_bytes;
}

OrErrno<void> NbdExport::begin(UniqueFd listener) noexcept {
    HF_ASSERT(phase_ == ExportPhase::Making && listener);
    listener_ = std::move(listener);
    if (auto placed = driver_.ring().set_file(driver_.first_extra_file(), listener_.get()); !placed)
        return placed;
    phase_ = ExportPhase::Serving;
    accept_next();
    return {};
}

netpath::FileSlot NbdExport::file_of(std::uint8_t index) const noexcept {
    return netpath::FileSlot{
        static_cast<std::uint16_t>(driver_.first_extra_file().raw() + 1 + index)};
}

netpath::Token NbdExport::token(Kind kind, std::uint8_t index) const noexcept {
    return {.owner = static_cast<std::uint8_t>(RingOwner::Nbd),
            .kind = static_cast<std::uint8_t>(kind),
            .index = index,
            .serial = clients_[index].serial};
}

/// One accept is outstanding whenever a client's place is free.
void NbdExport::accept_next() noexcept {
    if (phase_ != ExportPhase::Serving) return;
    for (const Client& client : clients_)
        if (client.state == Client::State::Accepting) return;
    for (std::uint8_t index = 0; index < kClientsMax; ++index) {
        Client& client = clients_[index];
        if (client.state != Client::State::Free) continue;
        ++client.serial;
        client.state = Client::State::Accepting;
        driver_.ring().accept(driver_.first_extra_file(), file_of(index),
                              token(Kind::Accept, index));
        return;
    }
}

void NbdExport::on_accepted(std::uint8_t index, std::int32_t result) noexcept {
    Client& client = clients_[index];
    client.state = Client::State::Free;
    if (result < 0) return;
    if (phase_ == ExportPhase::Serving) {
        client.session.start(unit_, table_, index);
        client.state = Client::State::Open;
        return;
    }
    client.state = Client::State::Settling;
    ++client.chores;
    driver_.ring().close(file_of(index), token(Kind::Close, index));
}

void NbdExport::on_completed(const netpath::Completed& completed, Instant) noexcept {
    const std::uint8_t index = static_cast<std::uint8_t>(completed.token.index);
    HF_ASSERT(index < kClientsMax && completed.token.serial == clients_[index].serial);
    Client& client = clients_[index];
    const bool open = client.state == Client::State::Open;
    switch (static_cast<Kind>(completed.token.kind)) {
    case Kind::Accept: return on_accepted(index, completed.result);
    case Kind::Receive:
        client.receiving = false;
        if (!open) return;
        if (completed.result <= 0) return begin_close(index);
        return client.session.rx_filled(static_cast<std::size_t>(completed.result));
    case Kind::Send:
        client.sending = false;
        if (!open) return;
        if (completed.result < 0) return begin_close(index);
        return client.session.tx_sent(static_cast<std::size_t>(completed.result));
    case Kind::Close:
    case Kind::Cancel:
        HF_ASSERT(client.chores > 0);
        --client.chores;
        return;
    }
}

void NbdExport::on_request_done(const initiator::Completion& completion, Instant now) noexcept {
    meter_.on_done(completion.tag, now);
    finish_work(completion.tag, error_of(completion.outcome));
}

void NbdExport::finish_work(std::uint16_t tag, std::uint32_t error) noexcept {
    const std::uint8_t index = table_[tag].client;
    HF_ASSERT(index < kClientsMax);
    clients_[index].session.on_work_done(tag, error);
}

void NbdExport::submit_work(Instant now) noexcept {
    while (const auto work = table_.poll_work()) {
        initiator::Request request{.tag = work->tag,
                                   .kind = work->kind,
                                   .force_unit_access = work->force_unit_access,
                                   .may_unmap = work->may_unmap};
        if (work->kind != initiator::RequestKind::Flush) {
            request.lba = Lba{work->offset / unit_.block};
            request.blocks = BlockCount{work->bytes / unit_.block};
        }
        if (work->kind == initiator::RequestKind::Read ||
            work->kind == initiator::RequestKind::Write)
            request.data = table_.buffer(work->tag).first(work->bytes);
        meter_.on_submitted(request, now);
        const auto submitted = driver_.submit(request);
        HF_ASSERT(submitted != initiator::Submitted::Full);
        if (submitted == initiator::Submitted::OutOfRange) finish_work(work->tag, nbd::kInvalid);
        if (submitted == initiator::Submitted::Stopped) finish_work(work->tag, nbd::kShutdown);
    }
}

void NbdExport::on_turn_end(Instant now) noexcept {
    for (Client& client : clients_)
        if (client.state == Client::State::Open && client.session.is_stalled())
            client.session.resume();
    submit_work(now);
    for (std::uint8_t index = 0; index < kClientsMax; ++index) serve(index);
    accept_next();
    if (phase_ == ExportPhase::Stopping && std::ranges::all_of(clients_, [](const Client& client) {
            return client.state == Client::State::Free;
        }))
        phase_ = ExportPhase::Stopped;
}

void NbdExport::serve(std::uint8_t index) noexcept {
    Client& client = clients_[index];
    if (client.state == Client::State::Open) {
        if (!client.sending) send(index);
        if (!client.sending && client.session.wants_close()) return begin_close(index);
        if (!client.receiving) receive(index);
        return;
    }
    advance_close(index);
}

void NbdExport::receive(std::uint8_t index) noexcept {
    Client& client = clients_[index];
    std::array<std::span<std::byte>, NbdSession::kRxSpansMax> room;
    const std::span<const std::span<std::byte>> spans = client.session.rx_spaces(room);
    if (spans.empty()) return;
    client.receiving = true;
    client.receive_message = message_of(spans, client.receive_pieces);
    driver_.ring().receive_message(file_of(index), client.receive_message, false,
                                   token(Kind::Receive, index));
}

void NbdExport::send(std::uint8_t index) noexcept {
    Client& client = clients_[index];
    std::array<std::span<const std::byte>, NbdSession::kTxSpansMax> room;
    const std::span<const std::span<const std::byte>> spans = client.session.tx_spans(room);
    if (spans.empty()) return;
    client.sending = true;
    client.send_message = message_of(spans, client.send_pieces);
    driver_.ring().send_message(file_of(index), client.send_message, token(Kind::Send, index));
}

void NbdExport::begin_close(std::uint8_t index) noexcept {
    Client& client = clients_[index];
    HF_ASSERT(client.state == Client::State::Open);
    client.state = Client::State::Closing;
    if (client.session.was_broken()) ++clients_broken_;
    if (client.receiving) {
        ++client.chores;
        driver_.ring().cancel(token(Kind::Receive, index), token(Kind::Cancel, index));
    }
    if (client.sending) {
        ++client.chores;
        driver_.ring().cancel(token(Kind::Send, index), token(Kind::Cancel, index));
    }
}

/// Closing: the kernel's references go first, then the session's, then the work under way.
void NbdExport::advance_close(std::uint8_t index) noexcept {
    Client& client = clients_[index];
    if (client.receiving || client.sending || client.chores > 0) return;
    if (client.state == Client::State::Closing) {
        client.session.abandon();
        client.state = Client::State::Settling;
        ++client.chores;
        driver_.ring().close(file_of(index), token(Kind::Close, index));
        return;
    }
    if (client.state == Client::State::Settling && client.session.is_over())
        client.state = Client::State::Free;
}

void NbdExport::stop(Instant) noexcept {
    if (phase_ != ExportPhase::Serving) return;
    phase_ = ExportPhase::Stopping;
    for (std::uint8_t index = 0; index < kClientsMax; ++index) {
        Client& client = clients_[index];
        if (client.state == Client::State::Open) begin_close(index);
        if (client.state != Client::State::Accepting) continue;
        ++client.chores;
        driver_.ring().cancel(token(Kind::Accept, index), token(Kind::Cancel, index));
    }
}

std::uint32_t NbdExport::clients() const noexcept {
    return static_cast<std::uint32_t>(std::ranges::count_if(
        clients_, [](const Client& client) { return client.state == Client::State::Open; }));
}

void NbdExport::describe(ExportState& state) const noexcept {
    state.kind = ExportKind::Nbd;
    state.is_ready = phase_ == ExportPhase::Serving;
    state.read_only = unit_.read_only;
    state.clients = clients();
    state.path = path_;
    state.size_bytes = unit_.size;
}

}  // namespace holdfast::daemon
