// ModelTarget: persistent reservations. SPC-4 sections 5.13, 6.15 and 6.16. One type: Write
// Exclusive, Registrants Only. The nexus is the initiator port: all connections of all sessions
// with one ISID. A restart forgets everything (APTPL is 0).
#include <algorithm>

#include "tests/sim/model_target.h"

namespace holdfast::sim {

namespace {

constexpr std::uint8_t kConflict = 0x18;
constexpr std::uint8_t kType = 5;
constexpr std::uint16_t kInvalidField = 0x2400;
constexpr std::uint16_t kInvalidList = 0x2600;

enum ServiceAction : std::uint8_t {
    kRegister = 0,
    kReserve = 1,
    kPreemptAndAbort = 5,
    kRegisterAnyway = 6
};

void append(Bytes& to, std::size_t bytes, std::uint64_t value) {
    for (std::size_t i = bytes; i > 0; --i) {
        to.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
    }
}

std::uint64_t number_at(const Bytes& from, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = at; i < at + 8; ++i) value = (value << 8) | from.at(i);
    return value;
}

}  // namespace

/// Judged when the command arrives; what has passed is not judged again.
bool ModelTarget::conflicts(const Conn& conn, const Pdu& pdu) const {
    const std::uint8_t operation = pdu.cdb(0);
    const bool writes = operation == 0x8a || operation == 0x93 || operation == 0x42;
    return writes && holder_ && !keys_.contains(conn.isid);
}

Bytes ModelTarget::reservation_data(const Pdu& pdu) const {
    Bytes data;
    if (!knows_reservations) return data;
    const std::uint8_t action = pdu.cdb(1) & 0x1f;
    if (action == 0) {
        append(data, 4, 0);
        append(data, 4, keys_.size() * 8);
        for (const auto& [port, key] : keys_) append(data, 8, key);
    } else if (action == 1) {
        append(data, 4, 0);
        append(data, 4, holder_ ? 16 : 0);
        if (!holder_) return data;
        append(data, 8, keys_.at(*holder_));
        append(data, 8, kType);  // Its last octets: reserved, scope and type, obsolete.
        data.at(21) = kType;
        data.at(23) = 0;
    } else if (action == 2) {
        append(data, 2, 8);
        append(data, 2, 0x0080);
        append(data, 4, 0x20000000);
    }
    return data;
}

void ModelTarget::reserve_out(const Command& command) {
    Conn& conn = conns_.at(command.conn);
    const Pdu& pdu = command.pdu;
    if (!knows_reservations) return send_sense(conn, pdu, 0x05, 0x2000);
    if (command.data.size() != 24) return send_sense(conn, pdu, 0x05, kInvalidList);
    const std::uint64_t own = number_at(command.data, 0);
    const std::uint64_t other = number_at(command.data, 8);
    const auto registered = keys_.find(conn.isid);
    const bool is_known = registered != keys_.end() && registered->second == own;
    switch (pdu.cdb(1) & 0x1f) {
    case kRegister:
        if (registered == keys_.end() ? own != 0 : !is_known) {
            return send_status(conn, pdu, kConflict);
        }
        [[fallthrough]];
    case kRegisterAnyway: register_key(conn.isid, other); break;
    case kReserve:
        if (!is_known || (holder_ && *holder_ != conn.isid)) {
            return send_status(conn, pdu, kConflict);
        }
        holder_ = conn.isid;
        break;
    case kPreemptAndAbort: {
        const bool is_there =
            std::ranges::any_of(keys_, [&](const auto& item) { return item.second == other; });
        if (!is_known || !is_there) return send_status(conn, pdu, kConflict);
        preempt_and_abort(conn.isid, other);
        break;
    }
    default: return send_sense(conn, pdu, 0x05, kInvalidField);
    }
    send_status(conn, pdu, 0);
}

void ModelTarget::register_key(std::uint64_t isid, std::uint64_t key) {
    if (key != 0) {
        keys_[isid] = key;
        return;
    }
    keys_.erase(isid);
    if (holder_ == isid) holder_.reset();
}

void ModelTarget::preempt_and_abort(std::uint64_t isid, std::uint64_t key) {
    std::erase_if(keys_, [&](const auto& item) {
        const auto& [port, of] = item;
        if (of != key || port == isid) return false;
        if (holder_ == port) holder_ = isid;
        std::erase_if(commands_,
                      [&](const auto& it) { return conns_.at(it.second.conn).isid == port; });
        return true;
    });
}

}  // namespace holdfast::sim
