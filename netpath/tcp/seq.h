/// Arithmetic on sequence numbers beyond base/serial.h. RFC 9293 section 3.4. Pure.
#pragma once

#include <cstdint>

#include "netpath/wire/tcp.h"

namespace holdfast::netpath::tcp {

using Seq = wire::TcpSeq;
using wire::SackBlock;

/// begin <= number < end, on the circle. False for an empty range.
[[nodiscard]] constexpr bool is_within(Seq number, Seq begin, Seq end) noexcept {
    return number.since(begin) < end.since(begin);
}
[[nodiscard]] constexpr Seq later_of(Seq a, Seq b) noexcept {
    return a.precedes(b) ? b : a;
}
[[nodiscard]] constexpr Seq earlier_of(Seq a, Seq b) noexcept {
    return a.precedes(b) ? a : b;
}
/// Bytes from `from` up to `to`; 0 when `to` is not ahead.
[[nodiscard]] constexpr std::uint32_t ahead_bytes(Seq from, Seq to) noexcept {
    return from.precedes(to) ? to.since(from) : 0;
}

}  // namespace holdfast::netpath::tcp
