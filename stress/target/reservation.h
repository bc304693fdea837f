/// The persistent reservations of one unit. SPC-4 sections 5.13, 6.15 and 6.16. They end with the
/// target's power (APTPL is refused). A nexus is what Session::nexus() says: initiator name, ISID
/// and target name.
/// Not there: SPEC_I_PT, ALL_TG_PT, REGISTER AND MOVE, READ FULL STATUS.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "stress/target/scsi.h"

namespace holdfast::target {

using Nexus = std::string;

/// What an accepted PERSISTENT RESERVE OUT means for others.
struct ReservationNews {
    Outcome outcome{};
    std::vector<Nexus> preempted{};  ///< Lost their registration.
    std::vector<Nexus> released{};   ///< Still registered; the reservation is gone.
    bool aborts = false;             ///< The tasks of the preempted ones are to end.
};

class Reservations {
public:
    /// How much of it the holder and the registrants keep for themselves.
    enum class Access : std::uint8_t { Read, Write };
    [[nodiscard]] bool conflicts(const Nexus& nexus, Access access) const;

    [[nodiscard]] Outcome in(CdbView cdb) const;
    [[nodiscard]] ReservationNews out(const Nexus& nexus, CdbView cdb, Bytes list);
    void clear() { *this = {}; }

private:
    struct Held {
        Nexus holder;
        std::uint8_t type = 0;
    };
    struct Order {
        std::uint8_t action = 0;
        std::uint8_t type = 0;
        std::uint64_t own = 0;
        std::uint64_t other = 0;
    };
    [[nodiscard]] bool is_for_all() const { return held_ && held_->type >= 7; }
    [[nodiscard]] bool is_held_by(const Nexus& nexus) const;
    [[nodiscard]] ReservationNews enroll(const Nexus& nexus, const Order& order);
    [[nodiscard]] ReservationNews reserve(const Nexus& nexus, const Order& order);
    [[nodiscard]] ReservationNews release(const Nexus& nexus, const Order& order);
    [[nodiscard]] ReservationNews wipe(const Nexus& nexus);
    [[nodiscard]] ReservationNews preempt(const Nexus& nexus, const Order& order);
    [[nodiscard]] std::vector<Nexus> others(const Nexus& nexus) const;
    void strike_out(const Nexus& nexus, ReservationNews& news);

    std::map<Nexus, std::uint64_t> keys_;
    std::optional<Held> held_;
    std::uint32_t generation_ = 0;
};

}  // namespace holdfast::target
