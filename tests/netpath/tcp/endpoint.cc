#include "tests/netpath/tcp/endpoint.h"

#include <algorithm>
#include <cstring>

namespace holdfast::tcp_test {

namespace {

netpath::wire::MacAddress mac_of(const Bytes& bytes) {
    netpath::wire::MacAddress mac;
    std::memcpy(mac.bytes.data(), bytes.data(), mac.bytes.size());
    return mac;
}

netpath::wire::IpAddress ip_of(const Bytes& bytes) {
    const auto view = std::as_bytes(std::span{bytes});
    if (bytes.size() == 4) return netpath::wire::IpAddress::v4(view.first<4>());
    return netpath::wire::IpAddress::v6(view.first<16>());
}

}  // namespace

Endpoint::Endpoint(const EndpointConfig& config)
    : config_(config),
      frames_(config.frame_bytes * (config.limits.rx_frames + 8)),
      is_free_(config.limits.rx_frames + 8, true) {
    reserve::MemoryPlan plan;
    Stream::add_to_plan(plan, config.limits);
    plan.add_objects<Stream>("stream", 1, "the connection itself");
    memory_.resize(plan.total().raw() + reserve::kCarveUnitBytes);
    region_.emplace(std::span{memory_});
    stream_ = &region_->make<Stream>(config.limits, *region_, config.options);
    for (std::size_t i = is_free_.size(); i > 0; --i)
        free_frames_.push_back(static_cast<std::uint32_t>(i - 1));
}

Endpoint::~Endpoint() {
    stream_->~Stream();
}

void Endpoint::connect(Instant now, std::uint32_t isn, std::uint32_t timestamp_offset) {
    const bool is_v6 = config_.ends.is_v6;
    const netpath::wire::Flow flow{.local = ip_of(our_ip(is_v6)),
                                   .remote = ip_of(peer_ip(is_v6)),
                                   .local_port = config_.ends.our_port,
                                   .remote_port = config_.ends.peer_port};
    const netpath::tcp::Link link{
        .local = mac_of(our_mac()), .remote = mac_of(peer_mac()), .vlan = config_.ends.vlan};
    stream_->connect_with(
        now, flow, link,
        {.isn = netpath::tcp::Seq{isn}, .timestamp_offset = timestamp_offset, .is_v6 = is_v6});
}

void Endpoint::input(Instant now, const Bytes& frame) {
    const std::size_t each = config_.piece_bytes == 0 ? config_.frame_bytes : config_.piece_bytes;
    if (config_.piece_bytes == 0 && frame.size() > each)
        return complain("the test's frame is too long");
    std::vector<netpath::tcp::ReceivedFrame> pieces;
    for (std::size_t at = 0; at < frame.size(); at += each) {
        if (free_frames_.size() <= pieces.size()) return;
        const std::uint32_t id = free_frames_[free_frames_.size() - 1 - pieces.size()];
        const std::size_t bytes = std::min(each, frame.size() - at);
        const auto memory = memory_of(id).first(each);
        std::ranges::copy(std::as_bytes(std::span{frame}).subspan(at, bytes), memory.begin());
        pieces.push_back({.id = id, .memory = memory, .bytes = bytes});
    }
    const auto fate = stream_->input(now, pieces);
    std::vector<std::uint32_t> given_back;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        free_frames_.pop_back();
        is_free_.at(pieces[i].id) = false;
        if ((fate.kept >> i & 1) != 0) continue;
        // Whatever is read from it now is a mistake that the pattern shows.
        std::memset(memory_of(pieces[i].id).data(), 0xdd, config_.frame_bytes);
        given_back.push_back(pieces[i].id);
        is_free_.at(pieces[i].id) = true;
    }
    free_frames_.insert(free_frames_.end(), given_back.rbegin(), given_back.rend());
}

Bytes Endpoint::output(Instant now, bool may_send_data) {
    if (config_.piece_bytes != 0) return output_in_pieces(now, may_send_data);
    std::vector<std::byte> room(Stream::frame_bytes_max(config_.options));
    const std::size_t bytes = stream_->output(now, room, may_send_data);
    Bytes frame(bytes);
    if (bytes > 0) std::memcpy(frame.data(), room.data(), bytes);
    return frame;
}

Bytes Endpoint::output_in_pieces(Instant now, bool may_send_data) {
    const std::size_t each = config_.piece_bytes;
    std::vector<std::vector<std::byte>> memory;
    std::vector<std::span<std::byte>> rooms;
    for (std::size_t at = 0; at < Stream::frame_bytes_max(config_.options); at += each)
        memory.emplace_back(each);
    for (auto& room : memory) rooms.emplace_back(room);
    std::size_t left = stream_->output(now, rooms, may_send_data);
    Bytes frame;
    for (const auto room : rooms) {
        const std::size_t part = std::min(left, room.size());
        for (const std::byte byte : room.first(part))
            frame.push_back(std::to_integer<std::uint8_t>(byte));
        left -= part;
    }
    return frame;
}

bool Endpoint::write(std::size_t bytes) {
    auto piece = std::make_unique<std::vector<std::byte>>(bytes);
    for (std::size_t i = 0; i < bytes; ++i) (*piece)[i] = std::byte{pattern(written_ + i, true)};
    if (!stream_->try_send(*piece, static_cast<std::uint32_t>(lent_.size()))) return false;
    lent_.push_back(std::move(piece));
    written_ += bytes;
    return true;
}

std::size_t Endpoint::read(Instant now, std::size_t bytes) {
    std::size_t done = 0;
    while (done < bytes) {
        const auto front = stream_->rx_front();
        if (front.empty()) break;
        const std::size_t part = std::min(front.size(), bytes - done);
        for (std::size_t i = 0; i < part; ++i) {
            if (front[i] != std::byte{pattern(read_ + i, false)})
                complain("received a wrong byte at " + std::to_string(read_ + i));
        }
        stream_->rx_taken(now, static_cast<std::uint32_t>(part));
        read_ += part;
        done += part;
    }
    return done;
}

void Endpoint::settle() {
    while (const auto id = stream_->poll_returned_frame()) {
        if (is_free_.at(*id)) return complain("a frame came back twice");
        is_free_.at(*id) = true;
        free_frames_.push_back(*id);
        std::memset(std::span{frames_}.subspan(*id * config_.frame_bytes).data(), 0xdd,
                    config_.frame_bytes);
    }
    const std::size_t held = stream_->connection().held_frames();
    if (held + free_frames_.size() != is_free_.size()) complain("a frame is missing");
    while (const auto tag = stream_->poll_returned_piece()) {
        if (*tag != lent_front_) return complain("pieces came back out of order");
        returned_ += lent_.at(lent_front_)->size();
        // Whoever reads it after this reads what is wrong.
        std::fill(lent_[lent_front_]->begin(), lent_[lent_front_]->end(), std::byte{0xbb});
        lent_[lent_front_++].reset();
    }
}

}  // namespace holdfast::tcp_test
