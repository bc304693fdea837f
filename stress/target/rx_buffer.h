/// Turns the byte stream of one connection into PDUs. RFC 7143 section 11.2. Any split of the
/// stream gives the same PDUs.
/// Limits: one PDU is at most the header, 255 words of AHS, the data segment that the owner allows,
/// and the digests; a longer one is refused before any of its data is waited for.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

#include "stress/target/wire.h"

namespace holdfast::target {

/// Which segments carry a CRC32C. RFC 7143 section 13.1.
struct DigestUse {
    bool header = false;
    bool data = false;
};

/// What makes a stream unreadable; the connection must end.
enum class FrameFault : std::uint8_t {
    HeaderDigest,   // 7.8: nothing in the header can be believed.
    DataTooLong,    // 13.12: longer than the MaxRecvDataSegmentLength that was declared.
    UnexpectedAhs,  // 11.2.2: only a SCSI Command carries one.
};

/// One whole PDU. Borrows from the buffer until its space() is called again.
struct Pdu {
    HeaderView header;
    Bytes data;
    /// False when the data digest was wrong: the PDU is to be discarded. Section 7.8.
    bool data_intact = true;
};

class RxBuffer {
public:
    /// `data_bytes_max`: the longest data segment that will ever be allowed.
    explicit RxBuffer(std::size_t data_bytes_max);

    /// Room for more bytes of the stream; never empty. Invalidates every Pdu handed out.
    [[nodiscard]] std::span<std::byte> space();
    void filled(std::size_t count);

    /// The next whole PDU, nothing while it is incomplete, or the reason to give the stream up.
    [[nodiscard]] std::expected<std::optional<Pdu>, FrameFault> try_next(DigestUse digests,
                                                                         std::size_t data_max);

private:
    std::vector<std::byte> bytes_;
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
    bool header_checked_ = false;
};

}  // namespace holdfast::target
