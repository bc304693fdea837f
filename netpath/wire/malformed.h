/// Why bytes are not the packet that they claim to be.
#pragma once

#include <cstdint>

namespace holdfast::netpath::wire {

/// A packet with one of these is dropped and counted; none of them is our bug.
enum class Malformed : std::uint8_t {
    TooShort,      ///< Ends before its fixed header does.
    WrongVersion,  ///< Not the protocol or version that was asked for.
    WrongLength,   ///< A length field that its packet contradicts.
    WrongChecksum,
    Fragment,   ///< Part of a datagram: RFC 791. TCP with path MTU discovery sends none.
    Extension,  ///< An IPv6 extension header that is not skipped: routing, fragment, unknown.
    Ignored,    ///< Whole, but of a kind that nobody here asks for.
};

}  // namespace holdfast::netpath::wire
