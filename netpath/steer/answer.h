/// Questions for an address of ours that the classifier answers itself, under pressure: ARP
/// requests (RFC 826) and neighbour solicitations (RFC 4861 section 7.2.3). Without an answer the
/// peer loses us, and the kernel may have no memory for one. Pure.
///
/// Only a plain question is answered: untagged, its sender the same in each header, nobody's group
/// and not us, with an address to answer to. Whoever looks whether an address is taken (RFC 5227,
/// RFC 4862) has none, and is left to the kernel, as everything is that looks odd.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "netpath/wire/address.h"

namespace holdfast::netpath::steer {

/// An address that is answered for here.
struct OwnAddress {
    wire::IpAddress address{};
    wire::MacAddress station{};  ///< Where it is.
    /// An answer went out a while ago, and the question comes again: kAskedAgainAfter to
    /// kAskedAgainUntil after it. Then the kernel shall try, because some drivers lose what a
    /// classifier sends.
    bool is_asked_again = false;
    constexpr bool operator==(const OwnAddress&) const noexcept = default;
};

/// What is to be said, and to whom.
struct Answer {
    OwnAddress ours{};
    wire::IpAddress asker{};
    wire::MacAddress asker_station{};
    constexpr bool operator==(const Answer&) const noexcept = default;
};

/// Empty: it is no question, or not one that is answered here. `addresses`: all of ours, whoever
/// answers for them.
[[nodiscard]] std::optional<Answer> answer_to(std::span<const std::byte> frame,
                                              std::span<const OwnAddress> answered,
                                              std::span<const wire::IpAddress> addresses) noexcept;

/// Turns the frame that asked into the answer, in place. What stands behind the question stays.
void write_answer(const Answer& answer, std::span<std::byte> frame) noexcept;

}  // namespace holdfast::netpath::steer
