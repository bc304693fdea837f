#include "stress/target/reservation.h"

#include <algorithm>

namespace holdfast::target {
namespace {

// Service actions.
constexpr std::uint8_t kReadKeys = 0;
constexpr std::uint8_t kReadReservation = 1;
constexpr std::uint8_t kReportCapabilities = 2;
constexpr std::uint8_t kRegister = 0;
constexpr std::uint8_t kReserve = 1;
constexpr std::uint8_t kRelease = 2;
constexpr std::uint8_t kClear = 3;
constexpr std::uint8_t kPreempt = 4;
constexpr std::uint8_t kPreemptAndAbort = 5;
constexpr std::uint8_t kRegisterAnyway = 6;

constexpr std::size_t kListBytes = 24;
constexpr std::uint8_t kExtensions = 0x0d;  // SPEC_I_PT, ALL_TG_PT, APTPL, byte 20.
constexpr Sense kInvalidRelease{sense_key::kIllegalRequest, 0x26, 0x04, {}};

bool is_type(std::uint8_t type) {
    return type == 1 || type == 3 || (type >= 5 && type <= 8);
}
/// Exclusive Access, in its three forms; else Write Exclusive.
bool keeps_readers_out(std::uint8_t type) {
    return type == 3 || type == 6 || type == 8;
}

void append(std::vector<std::byte>& to, std::size_t bytes, std::uint64_t value) {
    for (std::size_t i = bytes; i > 0; --i) to.push_back(std::byte(value >> (8 * (i - 1))));
}

ReservationNews conflict() {
    return {.outcome = {.status = ScsiStatus::ReservationConflict}};
}

}  // namespace

bool Reservations::is_held_by(const Nexus& nexus) const {
    return held_ && (is_for_all() ? keys_.contains(nexus) : held_->holder == nexus);
}

bool Reservations::conflicts(const Nexus& nexus, Access access) const {
    if (!held_ || is_held_by(nexus)) return false;
    if (held_->type >= 5 && keys_.contains(nexus)) return false;
    return access == Access::Write || keeps_readers_out(held_->type);
}

Outcome Reservations::in(CdbView cdb) const {
    std::vector<std::byte> data;
    const std::uint8_t action = u8_at<1>(cdb) & 0x1fU;
    if (action == kReadKeys) {
        append(data, 4, generation_);
        append(data, 4, keys_.size() * 8);
        for (const auto& [nexus, key] : keys_) append(data, 8, key);
    } else if (action == kReadReservation) {
        append(data, 4, generation_);
        append(data, 4, held_ ? 16 : 0);
        if (held_) {
            append(data, 8, is_for_all() ? 0 : keys_.at(held_->holder));
            append(data, 8, std::uint64_t{held_->type} << 16);
        }
    } else if (action == kReportCapabilities) {
        append(data, 4, 0x0008'0080);
        append(data, 4, 0xea01'0000);  // All six types.
    } else {
        return Outcome::check(kInvalidFieldInCdb);
    }
    data.resize(std::min<std::size_t>(data.size(), be16_at<7>(cdb)));
    return Outcome{.reply = std::move(data)};
}

ReservationNews Reservations::out(const Nexus& nexus, CdbView cdb, Bytes list) {
    if (list.size() != kListBytes) return {.outcome = Outcome::check(kParameterLength)};
    const auto fields = list.first<kListBytes>();
    if ((u8_at<20>(fields) & kExtensions) != 0)
        return {.outcome = Outcome::check(kInvalidParameter)};
    const Order order{.action = static_cast<std::uint8_t>(u8_at<1>(cdb) & 0x1fU),
                      .type = static_cast<std::uint8_t>(u8_at<2>(cdb) & 0x0fU),
                      .own = be64_at<0>(fields),
                      .other = be64_at<8>(fields)};
    if (order.action == kRegister || order.action == kRegisterAnyway) return enroll(nexus, order);
    const auto registered = keys_.find(nexus);
    if (registered == keys_.end() || registered->second != order.own) return conflict();
    switch (order.action) {
    case kReserve: return reserve(nexus, order);
    case kRelease: return release(nexus, order);
    case kClear: return wipe(nexus);
    case kPreempt:
    case kPreemptAndAbort: return preempt(nexus, order);
    default: return {.outcome = Outcome::check(kInvalidFieldInCdb)};
    }
}

ReservationNews Reservations::enroll(const Nexus& nexus, const Order& order) {
    const auto registered = keys_.find(nexus);
    const std::uint64_t present = registered == keys_.end() ? 0 : registered->second;
    if (order.action == kRegister && order.own != present) return conflict();
    ReservationNews news;
    if (order.other != 0) {
        keys_[nexus] = order.other;
    } else if (registered != keys_.end()) {
        strike_out(nexus, news);
    }
    ++generation_;
    return news;
}

/// The registration goes, and with the holder's the reservation.
void Reservations::strike_out(const Nexus& nexus, ReservationNews& news) {
    const bool was_held = is_held_by(nexus);
    keys_.erase(nexus);
    if (!was_held || (is_for_all() && !keys_.empty())) return;
    if (held_->type >= 5) news.released = others(nexus);
    held_.reset();
}

std::vector<Nexus> Reservations::others(const Nexus& nexus) const {
    std::vector<Nexus> list;
    for (const auto& [other, key] : keys_) {
        if (other != nexus) list.push_back(other);
    }
    return list;
}

ReservationNews Reservations::reserve(const Nexus& nexus, const Order& order) {
    if (!is_type(order.type)) return {.outcome = Outcome::check(kInvalidFieldInCdb)};
    if (held_ && (!is_held_by(nexus) || held_->type != order.type)) return conflict();
    if (!held_) held_ = Held{.holder = nexus, .type = order.type};
    return {};
}

ReservationNews Reservations::release(const Nexus& nexus, const Order& order) {
    if (!is_held_by(nexus)) return {};
    if (held_->type != order.type) return {.outcome = Outcome::check(kInvalidRelease)};
    ReservationNews news;
    if (held_->type >= 5) news.released = others(nexus);
    held_.reset();
    return news;
}

ReservationNews Reservations::wipe(const Nexus& nexus) {
    ReservationNews news{.preempted = others(nexus)};
    keys_.clear();
    held_.reset();
    ++generation_;
    return news;
}

ReservationNews Reservations::preempt(const Nexus& nexus, const Order& order) {
    ReservationNews news{.aborts = order.action == kPreemptAndAbort};
    const bool takes_all = is_for_all() && order.other == 0;
    if (!takes_all && order.other == 0) return {.outcome = Outcome::check(kInvalidParameter)};
    const bool takes_over =
        takes_all || (held_ && !is_for_all() && keys_.at(held_->holder) == order.other);
    for (const auto& [other, key] : keys_) {
        if (other != nexus && (takes_all || key == order.other)) news.preempted.push_back(other);
    }
    const bool is_own = order.other == order.own && takes_over;
    if (news.preempted.empty() && !is_own && !takes_all) return conflict();
    if (takes_over && !is_type(order.type)) return {.outcome = Outcome::check(kInvalidFieldInCdb)};
    for (const Nexus& other : news.preempted) keys_.erase(other);
    if (takes_over) held_ = Held{.holder = nexus, .type = order.type};
    ++generation_;
    return news;
}

}  // namespace holdfast::target
